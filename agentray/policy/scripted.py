"""Policies without a model: the environment's expert, and the random floor."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from agentray.env import Environment
from agentray.types import Message, Reply, Sampling, Task


class ExpertPolicy:
    """Plays the environment's expert on one task."""

    def __init__(self, environment: Environment, task: Task, seed: int) -> None:
        self._reply = environment.expert(task)

    async def ready(self) -> None:
        """Always."""

    async def act(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """The expert's next reply."""
        return Reply(self._reply(messages), finish_reason="stop")

    async def close(self) -> None:
        """Nothing to release."""


class RandomPolicy:
    """Plays random well-formed actions on one task."""

    def __init__(self, environment: Environment, task: Task, seed: int) -> None:
        self._environment = environment
        self._rng = random.Random(seed)
        self.info: Mapping[str, Any] = {}
        """The environment's last `info`; the episode sets it before every reply."""

    async def ready(self) -> None:
        """Always."""

    async def act(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """A random action."""
        return Reply(self._environment.random_reply(self.info, self._rng), finish_reason="stop")

    async def close(self) -> None:
        """Nothing to release."""
