"""The environment contract: what a plugin distribution brings, ours and a third party's alike.

A plugin is a subclass of `TextEnvironment` and one line under
`[project.entry-points."agentray.environments"]`. Only `tasks` and `make` are mandatory.
`agentray/env/count.py` is the smallest example, and `check_environment` tests the contract.
"""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from agentray.config import Settings, validated
from agentray.env.findings import ErrorType, Finding
from agentray.env.text import Game
from agentray.errors import UsageError
from agentray.types import SPLITS, Family, Message, Split, Task, Trajectory

Expert = Callable[[Sequence[Message]], str]
"""From the conversation so far (it ends with a user message) to the next reply: a thought, then an action."""


@dataclass(frozen=True)
class Hosting:
    """How a rollout worker runs the episodes of an environment."""

    mode: Literal["inline", "thread", "process"] = "thread"
    """`inline`: every call returns within a millisecond, so it runs on the event loop. `thread`: a call may
    block. `process`: it may crash, leak or hang, so each episode has a process of its own to be killed."""
    max_episodes: int = 1000
    """Most episodes that one worker runs at once: 4 for a browser."""
    recycle_after: int = 50
    """Episodes that one process plays before a fresh one takes its place."""
    replayable: bool = False
    """The same task, seed and replies always lead to the same state, so that an interrupted episode can be
    rebuilt from its replies. `info["state"]` may then hold a digest (str) of state that observations hide."""


class EnvironmentSettings(Settings):
    """Settings of an environment, `[env.NAME]`; each value must be of its very type."""

    model_config = ConfigDict(strict=True)

    max_turns: int = Field(16, ge=1)
    """Most replies in one episode."""


class TextEnvironment(ABC):
    """What the stages need of an environment.

    Args:
        settings: As `Settings` declares them.

    Raises:
        UsageError: A setting is unknown, missing or wrong.
    """

    id: ClassVar[str]
    family: ClassVar[Family] = "held_in"
    version: ClassVar[str] = "1"
    """Of the tasks: a tasks file of another version is refused."""
    description: ClassVar[str] = ""
    """One line for `agentray environments`; the docstring's first where it is not given."""
    hosting: ClassVar[Hosting] = Hosting()
    rules: ClassVar[str] = ""
    """What precedes the first observation; see `instruction`."""
    reward_threshold: float = 1.0
    """Trajectories with at least this reward are kept by default."""
    error_types: ClassVar[tuple[ErrorType, ...]] = ()
    """The types that `diagnose` may find; one with the id of a general type replaces that type's text."""

    Settings: ClassVar[type[EnvironmentSettings]] = EnvironmentSettings
    settings: EnvironmentSettings

    def __init_subclass__(cls) -> None:
        if cls.__doc__ and "description" not in vars(cls):
            cls.description = cls.__doc__.strip().split("\n")[0].rstrip(".")

    def __init__(self, **settings: Any) -> None:
        self.settings = validated(self.Settings, f"env.{self.id}", settings)

    @property
    def max_turns(self) -> int:
        """Most replies in one episode."""
        return self.settings.max_turns

    @abstractmethod
    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """Tasks of a split from number `start` on, the same in the same order every time; may be endless."""

    @abstractmethod
    def make(self) -> Game:
        """A fresh Gymnasium environment; `reset(seed=, options={"task": task})` starts a task.

        `step(reply)` takes the policy's whole reply and returns five values: parsing a reply is part of the
        rules. `info["action"]` is the parsed action (str, or None where the reply holds none). From `reset`
        on, `info["metrics"]` may hold further scores: those of the episode if it ended there. `TextEnv` is a
        base class for it.
        """

    def instruction(self, task: Task) -> tuple[Message, ...]:
        """All messages before the first observation: `rules` and an acknowledgement without loss."""
        return (Message("user", self.rules), Message("assistant", "Ok.")) if self.rules else ()

    def expert(self, task: Task) -> Expert:
        """A policy that solves the task, thinking aloud before every action.

        Raises:
            UsageError: The environment has none.
        """
        fix = "give --policy: a model, an endpoint, or `random`"
        raise UsageError(f"environment {self.id!r} has no expert", "its plugin brings none", fix)

    def random_reply(self, info: Mapping[str, Any], rng: random.Random) -> str:
        """A well-formed reply with a random action, given the last `info`: the floor of every score.

        Raises:
            UsageError: The environment has none.
        """
        fix = "give --policy: a model, an endpoint, or `expert`"
        raise UsageError(f"environment {self.id!r} has no random replies", "its plugin brings none", fix)

    def summarize(self, metrics: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
        """Extra aggregate scores over finished episodes' `metrics`, in the benchmark's own definition."""
        return {}

    def check_task(self, task: Task) -> None:
        """Refuse a task that is not this environment's, such as an altered line of a tasks file.

        Raises:
            ValueError: Its fingerprint does not fit its data, or its split is not the one it belongs to.
        """
        if task.fingerprint != self.fingerprint(task.data):
            raise ValueError(f"its fingerprint {task.fingerprint!r} does not fit its data")
        prefix = task.id.partition("/")[0]
        if prefix in SPLITS and prefix != task.split:
            raise ValueError(f"its split is {task.split!r}, and its id says {prefix!r}")

    def fingerprint(self, data: Mapping[str, Any]) -> str:
        """Fingerprint of a task with this data."""
        return fingerprint(data)

    def diagnose(self, trajectory: Trajectory) -> Iterable[Finding]:
        """What its observations tell of one scored attempt, in addition to the general rules."""
        return ()

    def rescore(self, trajectory: Trajectory) -> float | None:
        """The reward by today's rules, from the record alone; None where the record does not tell it.

        Pure: no model, no files. Without it, `agentray rescore` plays the replies again.
        """
        return None

    def brings(self, member: str) -> bool:
        """Whether its class defines an optional member: `expert`, `random_reply` or `rescore`."""
        return getattr(type(self), member) is not getattr(TextEnvironment, member)


def fingerprint(content: Mapping[str, Any]) -> str:
    """Hash of a task's defining content: 16 hex digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
