"""The plugin: tasks, instruction, expert and scores of the household environment.

`agentray environments` lists it as `alfworld`; README.md explains its settings.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

from agentray.env import (
    INVALID_ACTION,
    ErrorType,
    Expert,
    Finding,
    Hosting,
    TextEnv,
    check_bool,
    check_int,
    check_path,
)
from agentray.errors import UsageError, closest
from agentray.types import Family, Message, Split, Task, Trajectory
from agentray_alfworld.expert import HouseholdExpert
from agentray_alfworld.game import HouseholdGame
from agentray_alfworld.games import read_games
from agentray_alfworld.generator import generate
from agentray_alfworld.goals import Goal
from agentray_alfworld.reply import parse_action
from agentray_alfworld.world import NOTHING

ENGINES = ("simulator",)
INSTRUCTION = """\
You are in a household and must solve a task. Reply in every turn with a short thought and one action:
THOUGHT: your thought
ACTION: your action
Actions: go to R, open R, close R, take O from R, move O to R, clean O with R, heat O with R, cool O with R, \
use O, examine O, look, inventory. R is a place, O an object, both with their number. "Nothing happens." \
means that the action is not possible."""


class Alfworld:
    """Household tasks in ALFWorld's text grammar, on a simulator of our own."""

    id: ClassVar[str] = "alfworld"
    family: ClassVar[Family] = "held_in"
    description: ClassVar[str] = "household tasks in ALFWorld's text: find, clean, heat, cool, light, put"
    hosting: ClassVar[Hosting] = Hosting("inline", replayable=True)
    error_types: ClassVar[tuple[ErrorType, ...]] = (
        replace(INVALID_ACTION, rule=f'a reply holds no action, or the household answers "{NOTHING}"'),
    )

    def __init__(
        self,
        engine: str = "simulator",
        data: str | None = None,
        max_turns: int = 35,
        fuzzy: bool = True,
        show_admissible: bool = False,
    ) -> None:
        """Choose the rules.

        Args:
            engine: What plays the household; only `simulator` so far.
            data: ALFWorld's own games to play instead of generated ones: its folder `json_2.1.1`, or a
                `.jsonl[.gz]` file of games (see games.py).
            max_turns: Replies before an episode is cut off (AgentTuning: 35).
            fuzzy: Whether an impossible command becomes the most similar possible one, as in AgentBench.
            show_admissible: Whether observations end with the list of possible commands.

        Raises:
            UsageError: `engine` is unknown, or a setting is of the wrong kind.
        """
        if engine not in ENGINES:
            raise UsageError(
                f"unknown engine {engine!r}", closest(str(engine), ENGINES), "leave `engine` out"
            )
        check_path(self.id, "data", data)
        check_int(self.id, "max_turns", max_turns, least=1)
        check_bool(self.id, "fuzzy", fuzzy)
        check_bool(self.id, "show_admissible", show_admissible)
        self.max_turns = max_turns
        self.reward_threshold = 1.0
        self._data = Path(data) if data else None
        self._fuzzy, self._show_admissible = fuzzy, show_admissible

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """Endless generated tasks, goals of one split never in another; or the games in `data`.

        Raises:
            DataError: `data` does not exist or holds an unreadable game.
        """
        if self._data:
            return itertools.islice(read_games(self._data, split), start, None)
        return (generate(split, index) for index in itertools.count(start))

    def make(self) -> TextEnv:
        """A fresh game."""
        return HouseholdGame(self.max_turns, self._fuzzy, self._show_admissible)

    def instruction(self, task: Task) -> tuple[Message, ...]:
        """The rules and an acknowledgement without loss, the same for every task."""
        return (Message("user", INSTRUCTION), Message("assistant", "Ok."))

    def parse(self, reply: str) -> str | None:
        """The command after the first `ACTION:`."""
        return parse_action(reply)

    def expert(self, task: Task) -> Expert:
        """An agent that knows the goal and what it has seen, not the world."""
        return HouseholdExpert(Goal.from_data(task.data))

    def random_reply(self, info: Mapping[str, Any], rng: random.Random) -> str:
        """Any possible command."""
        return f"ACTION: {rng.choice(info['admissible_commands'])}"

    def summarize(self, metrics: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
        """Success rate of each task type."""
        by_name: dict[str, list[float]] = defaultdict(list)
        for scores in metrics:
            for name, value in scores.items():
                if name.startswith("success_"):
                    by_name[name].append(value)
        return {name: fmean(values) for name, values in sorted(by_name.items())}

    def diagnose(self, trajectory: Trajectory) -> Iterator[Finding]:
        """Commands that were not possible; one that `fuzzy` replaced by a possible one is none."""
        for index, turn in enumerate(trajectory.turns):
            if turn.observation.startswith(NOTHING):
                yield Finding(INVALID_ACTION.id, index)
