"""A toy environment: count from one number to another. For tests, and as the smallest example of a plugin."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import gymnasium

from agentray.env.base import Expert, Hosting, TextEnv, fingerprint, text_space
from agentray.env.settings import check_int
from agentray.types import SPLITS, Family, Message, Split, Task

_ACTION = re.compile(r"Action:\s*(-?\d+)")


class CountGame(gymnasium.Env[str, str]):
    """Say the next number until the goal is reached; a wrong number ends the episode with reward 0."""

    def __init__(self) -> None:
        self.observation_space = text_space()
        self.action_space = text_space()
        self._number = self._goal = 0
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start the task in `options["task"]`."""
        super().reset(seed=seed)
        task: Task = (options or {})["task"]
        self._number, self._goal = task.data["start"], task.data["goal"]
        self._running = True
        return f"Count from {self._number} to {self._goal}. Last number: {self._number}", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take a reply; reward 1 at the goal."""
        if not self._running:
            raise RuntimeError("step() after the end of the episode: call reset() first")
        spoken = Count.parse_action(action)
        info = {"action": spoken}
        if spoken is None or int(spoken) != self._number + 1:
            self._running = False
            return "Wrong number.", 0.0, True, False, info
        self._number += 1
        done = self._number == self._goal
        self._running = not done
        return f"Last number: {self._number}", float(done), done, False, info


class Count:
    """The plugin around `CountGame`."""

    id: ClassVar[str] = "count"
    family: ClassVar[Family] = "held_in"
    description: ClassVar[str] = "toy: count up to a number (tests and examples)"
    hosting: ClassVar[Hosting] = Hosting("inline", replayable=True)

    def __init__(self, max_turns: int = 8, length: int | None = None) -> None:
        """Choose the sizes.

        Args:
            max_turns: Most replies in one episode.
            length: Numbers to say in every episode; None draws 1 to `max_turns - 1`.

        Raises:
            UsageError: A number is too small, or none.
        """
        check_int(self.id, "max_turns", max_turns, least=2)
        if length is not None:
            check_int(self.id, "length", length, least=1)
        self.max_turns = max_turns if length is None else max(max_turns, length)
        self._length = length
        self.reward_threshold = 1.0

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """Endless counting tasks; a first number belongs to one split only, by its remainder."""
        for index in itertools.count(start):
            rng = random.Random(f"count/{split}/{index}")
            first = rng.randrange(10**9) * len(SPLITS) + SPLITS.index(split)
            data = {"start": first, "goal": first + (self._length or rng.randint(1, self.max_turns - 1))}
            yield Task("count", f"{split}/{index}", split, data, fingerprint(data))

    def make(self) -> TextEnv:
        """A fresh game."""
        return CountGame()

    def instruction(self, task: Task) -> tuple[Message, ...]:
        """The rules and an acknowledgement without loss."""
        rules = "Say the number that follows the last one. Reply with 'Action: NUMBER'."
        return (Message("user", rules), Message("assistant", "Ok."))

    def parse(self, reply: str) -> str | None:
        """The number a reply says."""
        return self.parse_action(reply)

    @staticmethod
    def parse_action(reply: str) -> str | None:
        """The first `Action: NUMBER` of a reply."""
        match = _ACTION.search(reply)
        return match.group(1) if match else None

    def expert(self, task: Task) -> Expert:
        """Add one to the last number."""

        def reply(messages: Sequence[Message]) -> str:
            last = int(messages[-1].content.rsplit(" ", 1)[-1])
            return f"Thought: {last} comes before {last + 1}.\nAction: {last + 1}"

        return reply

    def random_reply(self, info: Mapping[str, Any], rng: random.Random) -> str:
        """Any number."""
        return f"Action: {rng.randrange(10**6)}"

    def summarize(self, metrics: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
        """Nothing beyond the mean reward."""
        return {}
