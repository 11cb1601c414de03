"""The environment contract: what a plugin distribution brings, ours and a third party's alike.

A plugin is a class that implements `Environment` and one line under
`[project.entry-points."agentray.environments"]`. The Gymnasium environment that `make` returns takes the
policy's whole reply as its action and returns the next message's text as its observation, so parsing a
reply is part of the environment's rules, not of the rollout.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import gymnasium

from agentray.types import Family, Message, Split, Task

TextEnv = gymnasium.Env[str, str]
Expert = Callable[[Sequence[Message]], str]
"""From the conversation so far (it ends with a user message) to the next reply: a thought, then an action."""

TEXT_LIMIT = 100_000
"""Longest observation or reply that the text spaces accept, in characters."""


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


@runtime_checkable
class Environment(Protocol):
    """What the rollout, filter and evaluation stages need from an environment."""

    id: ClassVar[str]
    family: ClassVar[Family]
    description: ClassVar[str]
    """One line for `agentray environments`."""
    max_turns: int
    """Most replies in one episode."""
    hosting: Hosting
    """How to run it in a worker."""
    reward_threshold: float
    """Trajectories with at least this reward are kept by default."""

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """Tasks of a split from number `start` on, the same in the same order every time; may be endless."""

    def make(self) -> TextEnv:
        """A fresh Gymnasium environment; `reset(seed=, options={"task": task})` starts a task.

        `step(reply)` returns five values; `info["action"]` is the parsed action (str or None). From `reset`
        on, `info["metrics"]` may hold further scores: those of the episode if it ended there.
        """

    def instruction(self, task: Task) -> tuple[Message, ...]:
        """All messages before the first observation: the rules, acknowledgement, demonstrations."""

    def parse(self, reply: str) -> str | None:
        """The action a reply asks for, or None when it asks for none."""

    def expert(self, task: Task) -> Expert:
        """A policy that solves the task, thinking aloud before every action."""

    def random_reply(self, info: Mapping[str, Any], rng: random.Random) -> str:
        """A well-formed reply with a random action, given the last `info`: the floor of every score."""

    def summarize(self, metrics: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
        """Extra aggregate scores over finished episodes' `metrics`, in the benchmark's own definition."""


@cache
def text_space() -> gymnasium.spaces.Text:
    """Space of any text up to `TEXT_LIMIT` characters; one for all: making it costs more than an episode.

    Gymnasium's `Text` checks membership by a character set; printable Unicode is open-ended, so membership is
    by type and length only.
    """
    return _AnyText(max_length=TEXT_LIMIT, min_length=0)


class _AnyText(gymnasium.spaces.Text):
    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length


def fingerprint(content: Mapping[str, Any]) -> str:
    """Hash of a task's defining content: 16 hex digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
