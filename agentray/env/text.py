"""What every game in text repeats: its spaces, its reset, and the refusal to go on after the end."""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from typing import Any

import gymnasium

from agentray.types import Task

Game = gymnasium.Env[str, str]
"""What an environment's `make` returns: actions are whole replies, observations the next message's text."""
TEXT_LIMIT = 100_000
"""Longest observation or reply that the text spaces accept, in characters."""
Step = tuple[str, float, bool, bool, dict[str, Any]]
"""As Gymnasium's `step`: observation, reward, terminated, truncated, info."""


class TextEnv(gymnasium.Env[str, str]):
    """A Gymnasium environment whose actions are replies; a game defines `start` and `play`."""

    def __init__(self) -> None:
        self.observation_space = self.action_space = text_space()
        self._running = False

    @abstractmethod
    def start(self, task: Task) -> tuple[str, dict[str, Any]]:
        """Begin a task; first observation and info."""

    @abstractmethod
    def play(self, reply: str) -> Step:
        """Take a reply; `info["action"]` is the action in it, or None."""

    def draw(self) -> Task:
        """A task drawn by `np_random`, for a `reset` that names none."""
        raise ValueError('no task: call reset(options={"task": task})')

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Begin the task in `options["task"]`, or one drawn by the seed."""
        super().reset(seed=seed)
        task: Task = (options or {}).get("task") or self.draw()
        observation, info = self.start(task)
        self._running = True
        return observation, info

    def step(self, action: str) -> Step:
        """Take a reply.

        Raises:
            RuntimeError: The episode has ended, or has not begun.
        """
        if not self._running:
            raise RuntimeError("step() after the end of the episode: call reset() first")
        step = self.play(action)
        self._running = not (step[2] or step[3])
        return step


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
