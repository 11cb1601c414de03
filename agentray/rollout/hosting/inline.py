"""Environments on the event loop: no future, no thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentray.env import Game, TextEnvironment
from agentray.rollout.hosting.base import Session, Step, close, step
from agentray.types import EnvSpec, Task


class Inline:
    """Runs calls that return within a millisecond; a `Mode`."""

    stuck = 0

    def __init__(self, spec: EnvSpec, environment: TextEnvironment) -> None:
        self._environment = environment

    def open(self) -> Session:
        """An environment for one episode."""
        return _Session(self._environment)

    async def close(self) -> None:
        """Nothing runs."""


class _Session:
    def __init__(self, environment: TextEnvironment) -> None:
        self._environment = environment
        self._env: Game | None = None

    async def reset(self, seed: int, task: Task) -> tuple[str, dict[str, Any]]:
        self._env = self._environment.make()
        return self._env.reset(seed=seed, options={"task": task})

    async def step(self, reply: str) -> Step:
        assert self._env is not None, "step() before reset()"
        return step(self._env, reply)

    def end(self, free: Callable[[], None]) -> None:
        free()
        close(self._env)
