"""What the three ways to host an environment have in common."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from agentray.env import Game
from agentray.types import Task

Step = tuple[str, float, bool, bool, dict[str, Any]]
"""As in Gymnasium: observation, reward, terminated, truncated and info."""
CLOSE_TIMEOUT_S = 10.0
"""Longest wait for an environment to close; nobody's episode waits for it."""
log = logging.getLogger(__name__)


class Session(Protocol):
    """One episode's environment: one `reset`, then steps, one call at a time."""

    async def reset(self, seed: int, task: Task) -> tuple[str, dict[str, Any]]:
        """Make the environment and start the task; as in Gymnasium, observation and info."""

    async def step(self, reply: str) -> Step:
        """Take a reply."""

    def end(self, free: Callable[[], None]) -> None:
        """Close the environment without a wait, and call `free` when another may take its place."""


class Mode(Protocol):
    """One way to run the episodes of an environment."""

    def open(self) -> Session:
        """An environment for one episode."""

    @property
    def stuck(self) -> int:
        """Calls that outlived their episode and still run."""

    async def close(self) -> None:
        """Let environments finish closing, unless they hang; end what runs."""


def step(env: Game, reply: str) -> Step:
    """One step of a Gymnasium environment."""
    observation, reward, terminated, truncated, info = env.step(reply)
    return observation, float(reward), terminated, truncated, info


def close(env: Game | None) -> None:
    """Close an environment; its episode is over, so nothing may touch its result any more."""
    try:
        if env is not None:
            env.close()
    except (Exception, SystemExit) as problem:
        log.warning("an environment did not close: %r", problem)
