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
from typing import Any, Literal

from pydantic import Field

from agentray.env import (
    INVALID_ACTION,
    EnvironmentSettings,
    Expert,
    Finding,
    Hosting,
    TextEnv,
    TextEnvironment,
)
from agentray.types import Split, Task, Trajectory
from agentray_alfworld.expert import HouseholdExpert
from agentray_alfworld.game import HouseholdGame
from agentray_alfworld.games import read_games
from agentray_alfworld.generator import generate
from agentray_alfworld.goals import Goal, goals
from agentray_alfworld.world import NOTHING

INSTRUCTION = """\
You are in a household and must solve a task. Reply in every turn with a short thought and one action:
THOUGHT: your thought
ACTION: your action
Actions: go to R, open R, close R, take O from R, move O to R, clean O with R, heat O with R, cool O with R, \
use O, examine O, look, inventory. R is a place, O an object, both with their number. "Nothing happens." \
means that the action is not possible."""


class Alfworld(TextEnvironment):
    """Household tasks in ALFWorld's text: find, clean, heat, cool, light, put."""

    id = "alfworld"
    hosting = Hosting("inline", replayable=True)
    rules = INSTRUCTION
    error_types = (
        replace(INVALID_ACTION, rule=f'a reply holds no action, or the household answers "{NOTHING}"'),
    )

    class Settings(EnvironmentSettings):
        """The rules."""

        max_turns: int = Field(35, ge=1)
        """Replies before an episode is cut off (AgentTuning: 35)."""
        engine: Literal["simulator"] = "simulator"
        """What plays the household; only `simulator` so far."""
        data: str | None = Field(None, min_length=1)
        """ALFWorld's own games to play instead of generated ones: its folder `json_2.1.1`, or a
        `.jsonl[.gz]` file of games (see games.py)."""
        fuzzy: bool = True
        """Whether an impossible command becomes the most similar possible one, as in AgentBench."""
        show_admissible: bool = False
        """Whether observations end with the list of possible commands."""

    settings: Settings

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """Endless generated tasks, goals of one split never in another; or the games in `data`.

        Raises:
            DataError: `data` does not exist or holds an unreadable game.
        """
        if self.settings.data:
            return itertools.islice(read_games(Path(self.settings.data), split), start, None)
        return (generate(split, index) for index in itertools.count(start))

    def make(self) -> TextEnv:
        """A fresh game."""
        return HouseholdGame(self.max_turns, self.settings.fuzzy, self.settings.show_admissible)

    def check_task(self, task: Task) -> None:
        """Refuse a generated household whose goal belongs to another split."""
        super().check_task(task)
        goal = replace(Goal.from_data(task.data), sentence="")
        if self.settings.data is None and goal not in goals(task.split)[goal.type]:
            raise ValueError(f"its goal is not of the split {task.split!r}")

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
        """Commands that were not possible; one that `fuzzy` replaced does not count."""
        for index, turn in enumerate(trajectory.turns):
            if turn.observation.startswith(NOTHING):
                yield Finding(INVALID_ACTION.id, index)
