"""Where environments run: on the event loop, in threads, or in processes of their own. Plain asyncio, no Ray.

Each environment says in `hosting` which, and how many episodes one worker may play at once, so that a worker
hosts 1,000 cheap episodes or 4 heavy ones:

    host = Host(resolve("database"))
    async with host.session() as session, asyncio.timeout(600):
        observation, info = await session.reset(seed, task)

Every call can be cancelled, so a deadline around the calls is a deadline of the whole episode: a process is
killed, a thread is counted as stuck until its call returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agentray.env import TextEnvironment, build
from agentray.rollout.hosting.base import Mode, Session
from agentray.rollout.hosting.inline import Inline
from agentray.rollout.hosting.process import Process
from agentray.rollout.hosting.thread import Thread
from agentray.types import EnvSpec

__all__ = ["Host", "Session"]

_MODES: dict[str, Callable[[EnvSpec, TextEnvironment], Mode]] = {
    "inline": Inline,
    "thread": Thread,
    "process": Process,
}


class Host:
    """All episodes of one environment in one worker.

    Args:
        spec: The environment.
        environment: What `spec` builds, if it is built already.
    """

    def __init__(self, spec: EnvSpec, environment: TextEnvironment | None = None) -> None:
        self.environment = build(spec) if environment is None else environment
        hosting = self.environment.hosting
        self._places = asyncio.Semaphore(hosting.max_episodes)
        self._mode = _MODES[hosting.mode](spec, self.environment)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A place for one episode; waits, first come first served, while `max_episodes` are played."""
        await self._places.acquire()
        session = self._mode.open()
        try:
            yield session
        except SystemExit as exit:  # it would end the event loop
            raise RuntimeError(f"the environment called sys.exit({exit.code!r})") from exit
        finally:
            session.end(self._places.release)

    @property
    def stuck(self) -> int:
        """Calls in threads that outlived their episode and still run."""
        return self._mode.stuck

    async def close(self) -> None:
        """Let environments finish closing, unless they hang; kill all processes."""
        await self._mode.close()
