"""Environments in threads, which cannot be killed: what hangs is counted, and closed when it returns."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from agentray.env import Game, TextEnvironment
from agentray.rollout.hosting import base
from agentray.rollout.hosting.base import Session, Step, close, step
from agentray.rollout.hosting.threads import Threads
from agentray.types import EnvSpec, Task

_T = TypeVar("_T")
_THREADS = 32
"""Calls that run at once; a call that hangs holds one until it returns."""


class Thread:
    """Runs calls that may block; a `Mode`."""

    def __init__(self, spec: EnvSpec, environment: TextEnvironment) -> None:
        self._environment = environment
        self._threads = Threads(_THREADS, "environment")
        self._outlived: set[Future[Any]] = set()
        self._closing: set[Future[None]] = set()

    def open(self) -> Session:
        """An environment for one episode."""
        return _Session(self._environment, self)

    @property
    def stuck(self) -> int:
        """Calls that outlived their episode and still run."""
        self._outlived = {call for call in self._outlived if not call.done()}
        return len(self._outlived)

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
        """What a call in a thread will return."""
        return self._threads.submit(lambda: _contained(call))

    def close_after(self, call: Future[Any], close: Callable[[], None]) -> None:
        """Close an environment in a thread once its last call, which nobody waits for, is over."""
        if not call.done():
            self._outlived.add(call)
        call.add_done_callback(lambda _: self._close_in_thread(close))  # at once, or in the call's thread

    def _close_in_thread(self, close: Callable[[], None]) -> None:
        try:
            closing = self._threads.submit(close)
        except RuntimeError:  # the call returned after the host was closed
            threading.Thread(target=close, daemon=True).start()
            return
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Let environments finish closing, unless they hang."""
        closing = tuple(self._closing)
        self._threads.close()
        if closing:
            await asyncio.to_thread(wait, closing, base.CLOSE_TIMEOUT_S)


class _Session:
    def __init__(self, environment: TextEnvironment, mode: Thread) -> None:
        self._environment, self._mode = environment, mode
        self._env: Game | None = None
        self._call: Future[Any] | None = None

    async def reset(self, seed: int, task: Task) -> tuple[str, dict[str, Any]]:
        def make_and_reset() -> tuple[str, dict[str, Any]]:
            self._env = self._environment.make()
            return self._env.reset(seed=seed, options={"task": task})

        return await self._run(make_and_reset)

    async def step(self, reply: str) -> Step:
        env = self._env
        assert env is not None, "step() before reset()"
        return await self._run(lambda: step(env, reply))

    async def _run(self, call: Callable[[], _T]) -> _T:
        running = self._call = self._mode.submit(call)
        return await asyncio.wrap_future(running)  # cancelled, it cancels a call that has not begun

    def end(self, free: Callable[[], None]) -> None:
        free()
        if self._call is not None:
            self._mode.close_after(self._call, lambda: close(self._env))


def _contained(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except StopIteration as stop:  # no asyncio future carries it: github.com/python/cpython/issues/112182
        raise RuntimeError("the environment raised StopIteration") from stop
