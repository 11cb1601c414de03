"""verifiers: the game as a `MultiTurnEnv`, run by its own `generate` in this process, without saving results.

`benchmarks/rollout.py` starts it, in an environment that holds verifiers only. By default verifiers makes its
own client from a `ClientConfig`, as its command line does; `--tuned` hands it an `AsyncOpenAI` on the SDK's
aiohttp transport instead, which costs a fraction.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
from typing import Any

import verifiers as vf
from counting import MODEL, SAMPLING, Game, arguments, measure
from datasets import Dataset
from openai import AsyncOpenAI, DefaultAioHttpClient
from verifiers.clients.openai_chat_completions_client import OpenAIChatCompletionsClient
from verifiers.types import ClientConfig


class Counting(vf.MultiTurnEnv):
    """The counting game."""

    async def setup_state(self, state: Any) -> None:
        """Start the game that the row names."""
        state["game"] = Game.begin(state["info"]["start"])

    async def env_response(self, messages: Any, state: Any, **kwargs: Any) -> Any:
        """Step the game with the last reply."""
        answer = [{"role": "user", "content": state["game"].step(messages[-1].content)}]
        if state["game"].done:
            state["final_env_response"] = answer
        return answer


async def right(state: Any) -> float:
    """The game's reward."""
    return float(state["game"].reward)


async def generate(given: argparse.Namespace, games: list[int]) -> Any:
    """All episodes, `in_flight` at once."""
    rows = [{"prompt": Game.begin(start).opening(), "info": {"start": start}} for start in games]
    env = Counting(dataset=Dataset.from_list(rows), rubric=vf.Rubric(funcs=[right]))
    sdk = AsyncOpenAI(base_url=given.url, api_key="none", http_client=DefaultAioHttpClient())
    own = ClientConfig(api_base_url=given.url)
    async with sdk:
        return await env.generate(
            env.get_dataset(),
            client=OpenAIChatCompletionsClient(sdk) if given.tuned else own,
            model=MODEL,
            sampling_args=dict(SAMPLING),
            max_concurrent=given.in_flight,
            independent_scoring=True,
            on_start=lambda *_: None,
            on_progress=lambda *_: None,
        )


def main() -> None:
    """Command line."""
    given = arguments(__doc__)
    logging.getLogger("verifiers").setLevel(logging.ERROR)

    def play(games: list[int]) -> Any:
        return asyncio.run(generate(given, games))

    def rewards(results: Any) -> list[float]:
        return [output["reward"] for output in results["outputs"]]

    measure(given, play, rewards, ("verifiers", "openai", "httpx", "httpx2", "aiohttp"))


if __name__ == "__main__":
    main()
