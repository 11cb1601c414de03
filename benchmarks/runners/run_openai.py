"""The `openai` SDK's `AsyncOpenAI` in the same loop as the bare client.

`benchmarks/rollout.py` starts it, in an environment that holds the SDK only. By default the SDK is as it
comes; `--tuned` takes its aiohttp transport.
"""

from __future__ import annotations

import asyncio
from typing import Any

from counting import MODEL, SAMPLING, Game, arguments, measure
from openai import AsyncOpenAI, DefaultAioHttpClient


async def play_one(client: AsyncOpenAI, start: int) -> float:
    """One episode."""
    game = Game.begin(start)
    messages: Any = game.opening()
    sampling: Any = SAMPLING
    while not game.done:
        completion = await client.chat.completions.create(model=MODEL, messages=messages, **sampling)
        reply = completion.choices[0].message.content or ""
        messages.append({"role": "assistant", "content": reply})
        messages.append({"role": "user", "content": game.step(reply)})
    return game.reward


async def play(url: str, games: list[int], in_flight: int, tuned: bool) -> list[float]:
    """All episodes, `in_flight` at once."""
    rewards: list[float] = []
    waiting = iter(games)

    async def lane(client: AsyncOpenAI) -> None:
        for start in waiting:
            rewards.append(await play_one(client, start))

    transport = DefaultAioHttpClient() if tuned else None
    async with AsyncOpenAI(base_url=url, api_key="none", http_client=transport) as client:
        await asyncio.gather(*(lane(client) for _ in range(in_flight)))
    return rewards


def main() -> None:
    """Command line."""
    given = arguments(__doc__)

    def here(games: list[int]) -> list[float]:
        return asyncio.run(play(given.url, games, given.in_flight, given.tuned))

    measure(given, here, list, ("openai", "httpx2", "aiohttp"))


if __name__ == "__main__":
    main()
