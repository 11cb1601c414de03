"""The ceiling: a bare aiohttp loop that keeps the conversation, parses the reply and steps the game, no more.

`benchmarks/rollout.py` starts it. With `--workers`, that many bare Ray async actors share the games.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from counting import MODEL, SAMPLING, Game, arguments, measure


async def play_one(session: aiohttp.ClientSession, url: str, start: int) -> float:
    """One episode."""
    game = Game.begin(start)
    messages = game.opening()
    while not game.done:
        payload = {"model": MODEL, "messages": messages, **SAMPLING}
        async with session.post(url, json=payload) as response:
            document = await response.json()
        reply = document["choices"][0]["message"]["content"]
        messages.append({"role": "assistant", "content": reply})
        messages.append({"role": "user", "content": game.step(reply)})
    return game.reward


async def play(url: str, games: list[int], in_flight: int) -> list[float]:
    """All episodes, `in_flight` at once."""
    rewards: list[float] = []
    waiting = iter(games)

    async def lane(session: aiohttp.ClientSession) -> None:
        for start in waiting:
            rewards.append(await play_one(session, f"{url}/chat/completions", start))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(lane(session) for _ in range(in_flight)))
    return rewards


class Actor:
    """The same loop as a Ray async actor."""

    async def play(self, url: str, games: list[int], in_flight: int) -> list[float]:
        """A share of the episodes."""
        return await play(url, games, in_flight)


def actors(count: int) -> list[Any]:
    """Bare Ray actors on a local Ray, started and idle."""
    import ray

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    remote = ray.remote(Actor).options(num_cpus=0.25)
    return [remote.remote() for _ in range(count)]


def main() -> None:
    """Command line."""
    given = arguments(__doc__)
    workers = actors(given.workers) if given.workers else []

    def here(games: list[int]) -> list[float]:
        return asyncio.run(play(given.url, games, given.in_flight))

    def there(games: list[int]) -> list[float]:
        import ray

        share = given.in_flight // len(workers)
        pending = [
            worker.play.remote(given.url, games[place :: len(workers)], share)
            for place, worker in enumerate(workers)
        ]
        return [reward for part in ray.get(pending, timeout=600) for reward in part]

    packages = ("aiohttp", "ray") if workers else ("aiohttp",)
    measure(given, there if workers else here, list, packages)


if __name__ == "__main__":
    main()
