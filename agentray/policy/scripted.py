"""Policies without a model: the environment's expert, and the random floor."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from agentray.env import TextEnvironment
from agentray.policy.base import BasePolicy
from agentray.types import Message, Reply, Sampling, Shared, Task


class ExpertPolicy(BasePolicy):
    """Plays the environment's expert on one task."""

    paid: ClassVar[bool] = False
    knows_task: ClassVar[bool] = True
    shared: ClassVar[Shared] = "attempt"

    def __init__(self, environment: TextEnvironment, task: Task, seed: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._reply = environment.expert(task)

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """The expert's next reply."""
        return Reply(self._reply(messages), finish_reason="stop")


class RandomPolicy(BasePolicy):
    """Plays random well-formed actions on one task."""

    paid: ClassVar[bool] = False
    knows_task: ClassVar[bool] = True
    shared: ClassVar[Shared] = "attempt"

    def __init__(self, environment: TextEnvironment, task: Task, seed: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._environment = environment
        self._rng = random.Random(seed)
        if not environment.brings("random_reply"):
            environment.random_reply({}, self._rng)  # says so before anything is played

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """A random action."""
        return Reply(self._environment.random_reply(info, self._rng), finish_reason="stop")
