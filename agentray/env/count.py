"""A toy environment: count from one number to another. For tests, and as the smallest example of a plugin."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from agentray.env.base import EnvironmentSettings, Expert, Hosting, TextEnvironment, fingerprint
from agentray.env.text import Step, TextEnv
from agentray.types import SPLITS, Message, Split, Task

_ACTION = re.compile(r"Action:\s*(-?\d+)")


class CountGame(TextEnv):
    """Say the next number until the goal is reached; a wrong number ends the episode with reward 0."""

    def start(self, task: Task) -> tuple[str, dict[str, Any]]:
        """Say what to count."""
        self._number, self._goal = task.data["start"], task.data["goal"]
        return f"Count from {self._number} to {self._goal}. Last number: {self._number}", {}

    def play(self, reply: str) -> Step:
        """Take a number; reward 1 at the goal."""
        found = _ACTION.search(reply)
        info = {"action": found[1] if found else None}
        if found is None or int(found[1]) != self._number + 1:
            return "Wrong number.", 0.0, True, False, info
        self._number += 1
        won = self._number == self._goal
        return f"Last number: {self._number}", float(won), won, False, info


class Count(TextEnvironment):
    """Toy: count up to a number (tests and examples)."""

    id = "count"
    hosting = Hosting("inline", replayable=True)
    rules = "Say the number that follows the last one. Reply with 'Action: NUMBER'."

    class Settings(EnvironmentSettings):
        """Sizes of the game."""

        max_turns: int = Field(8, ge=2)
        """Most replies in one episode, unless `length` needs more."""
        length: int | None = Field(None, ge=1)
        """Numbers to say in every episode; None draws 1 to `max_turns - 1`."""

    settings: Settings

    @property
    def max_turns(self) -> int:
        """Most replies in one episode."""
        return max(self.settings.max_turns, self.settings.length or 0)

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """Endless counting tasks; a first number belongs to one split only, by its remainder."""
        for index in itertools.count(start):
            rng = random.Random(f"count/{split}/{index}")
            first = rng.randrange(10**9) * len(SPLITS) + SPLITS.index(split)
            goal = first + (self.settings.length or rng.randint(1, self.max_turns - 1))
            data = {"start": first, "goal": goal}
            yield Task(self.id, f"{split}/{index}", split, data, fingerprint(data))

    def make(self) -> TextEnv:
        """A fresh game."""
        return CountGame()

    def check_task(self, task: Task) -> None:
        """Refuse a first number of another split."""
        super().check_task(task)
        if SPLITS[task.data["start"] % len(SPLITS)] != task.split:
            raise ValueError(f"its first number is not of the split {task.split!r}")

    def expert(self, task: Task) -> Expert:
        """Add one to the last number."""

        def reply(messages: Sequence[Message]) -> str:
            last = int(messages[-1].content.rsplit(" ", 1)[-1])
            return f"Thought: {last} comes before {last + 1}.\nAction: {last + 1}"

        return reply

    def random_reply(self, info: Mapping[str, Any], rng: random.Random) -> str:
        """Any number."""
        return f"Action: {rng.randrange(10**6)}"
