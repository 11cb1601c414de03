"""A rollout whose engine is an actor that forwards to the mock endpoint; `kills.py` starts and kills it.

The engine notes every call in a ledger before it makes it, and again when it has the answer, so that what
was paid for is known whatever died meanwhile:

    PROCESS begun|ended SEED TURN TIME

An attempt's seed is its task's number, as a run of one sample with seed 0 has it. Times are seconds of the
monotonic clock, which processes share.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from agentray.config import RolloutConfig
from agentray.policy.http import HttpPolicy
from agentray.rollout import run as stage
from agentray.types import Message, PolicySpec, Reply, Sampling

NAME = "forwarding"


class Call(NamedTuple):
    """A line of the ledger."""

    process: int
    ended: bool
    seed: int
    turn: int
    at_s: float


class Forwarding:
    """An engine that asks the endpoint.

    Args:
        base_url: The endpoint.
        ledger: File for the calls.
    """

    def __init__(self, base_url: str, ledger: str) -> None:
        self._endpoint = HttpPolicy(base_url)
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    async def ready(self) -> None:
        """Wait for the endpoint."""
        await self._endpoint.ready()

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """The endpoint's reply."""
        place = f"{sampling.seed} {sum(message.loss for message in messages)}"
        self._note("begun", place)
        reply = await self._endpoint.act(messages, sampling, info)
        self._note("ended", place)
        return reply

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.close()

    def _note(self, what: str, place: str) -> None:
        os.write(
            self._ledger, f"{os.getpid()} {what} {place} {time.monotonic()}\n".encode()
        )  # one write appends whole lines


def calls(ledger: Path) -> list[Call]:
    """What the engines noted, in order."""
    lines = (line.split() for line in ledger.read_text().splitlines())
    return [
        Call(int(process), what == "ended", int(seed), int(turn), float(at_s))
        for process, what, seed, turn, at_s in lines
    ]


def main() -> None:
    """Command line: settings as JSON, the endpoint, the ledger."""
    settings, url, ledger = sys.argv[1:]
    spec = PolicySpec(NAME, "forwarding:Forwarding", {"base_url": url, "ledger": ledger}, shared="run")
    setattr(stage, "resolve_policy", lambda *args, **kwargs: spec)  # noqa: B010 - not exported
    print(json.dumps(asdict(stage.run(RolloutConfig(**json.loads(settings))))))


if __name__ == "__main__":
    main()
