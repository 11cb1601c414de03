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
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any, Protocol, TypeVar, cast

from agentray.env import Game, TextEnvironment, build
from agentray.rollout.threads import Threads
from agentray.types import EnvSpec, Task

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_THREADS = 32
"""Calls that run at once in mode `thread`; a call that hangs holds one until it returns."""
_CLOSE_TIMEOUT_S = 10.0
"""Longest wait for an environment to close; nobody's episode waits for it."""
_DRAIN_S = 0.5
"""Longest wait for the last words of a dead process whose pipe another process holds open."""
_LINE_LIMIT_BYTES = 16 * 2**20
_STDERR_TAIL_BYTES = 4096


class Session(Protocol):
    """One episode's environment: one `reset`, then steps, one call at a time."""

    async def reset(self, seed: int, task: Task) -> tuple[str, dict[str, Any]]:
        """Make the environment and start the task; as in Gymnasium, observation and info."""

    async def step(self, reply: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take a reply; as in Gymnasium, observation, reward, terminated, truncated and info."""


class _Ending(Session, Protocol):
    def end(self, free: Callable[[], None]) -> None:
        """Close the environment without a wait, and call `free` when another may take its place."""


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
        self._threads = _Threads()
        self._children = _Children(spec, hosting.recycle_after)
        modes: dict[str, Callable[[], _Ending]] = {
            "inline": lambda: _Inline(self.environment),
            "thread": lambda: _Threaded(self.environment, self._threads),
            "process": lambda: _Process(self._children),
        }
        self._open = modes[hosting.mode]

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A place for one episode; waits, first come first served, while `max_episodes` are played."""
        await self._places.acquire()
        session = self._open()
        try:
            yield session
        except SystemExit as exit:  # it would end the event loop
            raise RuntimeError(f"the environment called sys.exit({exit.code!r})") from exit
        finally:
            session.end(self._places.release)

    @property
    def stuck(self) -> int:
        """Calls in threads that outlived their episode and still run."""
        return self._threads.stuck

    async def close(self) -> None:
        """Let environments finish closing, unless they hang; kill all processes."""
        await self._children.close()
        await self._threads.close()


class _Inline:
    """Calls on the event loop: no future, no thread."""

    def __init__(self, environment: TextEnvironment) -> None:
        self._environment = environment
        self._env: Game | None = None

    async def reset(self, seed: int, task: Task) -> tuple[str, dict[str, Any]]:
        self._env = self._environment.make()
        return self._env.reset(seed=seed, options={"task": task})

    async def step(self, reply: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        assert self._env is not None, "step() before reset()"
        return _step(self._env, reply)

    def end(self, free: Callable[[], None]) -> None:
        free()
        _close(self._env)


class _Threaded:
    """Calls in threads, which cannot be killed: what is cancelled goes on and is closed when it returns."""

    def __init__(self, environment: TextEnvironment, threads: _Threads) -> None:
        self._environment, self._threads = environment, threads
        self._env: Game | None = None
        self._call: Future[Any] | None = None

    async def reset(self, seed: int, task: Task) -> tuple[str, dict[str, Any]]:
        def make_and_reset() -> tuple[str, dict[str, Any]]:
            self._env = self._environment.make()
            return self._env.reset(seed=seed, options={"task": task})

        return await self._run(make_and_reset)

    async def step(self, reply: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        env = self._env
        assert env is not None, "step() before reset()"
        return await self._run(lambda: _step(env, reply))

    async def _run(self, call: Callable[[], _T]) -> _T:
        running = self._call = self._threads.submit(call)
        return await asyncio.wrap_future(running)  # cancelled, it cancels a call that has not begun

    def end(self, free: Callable[[], None]) -> None:
        free()
        if self._call is not None:
            self._threads.close_after(self._call, lambda: _close(self._env))


class _Threads:
    """The threads of one host, and what they still do for episodes that have ended."""

    def __init__(self) -> None:
        self._threads = Threads(_THREADS, "environment")
        self._outlived: set[Future[Any]] = set()
        self._closing: set[Future[None]] = set()

    @property
    def stuck(self) -> int:
        self._outlived = {call for call in self._outlived if not call.done()}
        return len(self._outlived)

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
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
        closing = tuple(self._closing)
        self._threads.close()
        if closing:
            await asyncio.to_thread(wait, closing, _CLOSE_TIMEOUT_S)


class _Process:
    """Calls to a process, which is killed when one is cancelled."""

    def __init__(self, children: _Children) -> None:
        self._children = children
        self._child: _Child | None = None

    async def reset(self, seed: int, task: Task) -> tuple[str, dict[str, Any]]:
        self._child = await self._children.take()
        self._child.num_episodes += 1
        answer = await self._child.call({"call": "reset", "seed": seed, "task": asdict(task)})
        return answer["observation"], answer["info"]

    async def step(self, reply: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        assert self._child is not None, "step() before reset()"
        told = await self._child.call({"call": "step", "reply": reply})
        return told["observation"], told["reward"], told["terminated"], told["truncated"], told["info"]

    def end(self, free: Callable[[], None]) -> None:
        if self._child is None or not self._child.usable:  # it never began, died or was killed in a call
            free()
        else:
            self._children.give_back(self._child, free)


class _Children:
    """The processes of one host: those that play, and those that wait for an episode."""

    def __init__(self, spec: EnvSpec, recycle_after: int) -> None:
        self._spec, self._recycle_after = spec, recycle_after
        self._alive: set[_Child] = set()
        self._idle: list[_Child] = []
        self._closing: set[asyncio.Task[None]] = set()

    async def take(self) -> _Child:
        """A process that is ready for an episode: one that has played, or a new one."""
        while self._idle:
            child = self._idle.pop()
            if child.usable:
                return child
        child = await _start()
        self._alive.add(child)
        child.gone.add_done_callback(lambda _: self._alive.discard(child))
        try:
            await child.call({**asdict(self._spec), "pythonpath": os.environ.get("PYTHONPATH")})
        except BaseException:
            child.kill()
            raise
        return child

    def give_back(self, child: _Child, free: Callable[[], None]) -> None:
        """Close the episode of a process while others go on, then keep it or end it."""
        closing = asyncio.create_task(self._retire(child, free))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _retire(self, child: _Child, free: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await child.call({"call": "close"})
            if child.num_episodes < self._recycle_after:
                self._idle.append(child)
            else:
                child.kill()
        except (RuntimeError, TimeoutError) as problem:
            _log.warning("an environment did not close (%r): its process is replaced", problem)
            child.kill()
        finally:
            free()

    async def close(self) -> None:
        if self._closing:
            await asyncio.wait(self._closing)  # each has its own timeout
        for child in self._alive:
            child.kill()
        if self._alive:
            await asyncio.wait([child.gone for child in self._alive], timeout=_CLOSE_TIMEOUT_S)


class _Child(asyncio.SubprocessProtocol):
    """The parent's end of one `agentray.env.child` process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.usable = True
        self.num_episodes = 0
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._line = bytearray()
        self._stderr = b""
        self._ended_because: str | None = None

    async def call(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """What the process answers.

        Raises:
            RuntimeError: What the environment raised, under its own name; or the process died.
        """
        line = json.dumps(message).encode() + b"\n"
        if not self.usable:
            raise self._death()
        self._answer = self._loop.create_future()
        self._stdin.write(line)
        try:
            answer = await self._answer
        except asyncio.CancelledError:
            self.kill()
            raise
        if "error" in answer:
            # A record of the failure reads the same as if the environment had raised it here.
            raise type(str(answer["type"]), (RuntimeError,), {})(answer["error"])
        return answer

    def kill(self, why: str = "was ended by its host") -> None:
        """End it, and all that it started, at once."""
        self.usable = False
        if self._transport.get_returncode() is None:
            self._ended_because = self._ended_because or why
            self._kill_group()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._transport.get_pid(), signal.SIGKILL)

    def _death(self) -> RuntimeError:
        how = self._ended_because or _exit_text(self._transport.get_returncode())
        wrote = self._stderr.decode(errors="replace")
        return RuntimeError(f"the environment's process {how}\n{wrote}".strip())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is no subclass
        self._stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._stderr = (self._stderr + data)[-_STDERR_TAIL_BYTES:]
            return
        self._line += data
        if len(self._line) > _LINE_LIMIT_BYTES:
            self.kill(f"sent more than {_LINE_LIMIT_BYTES} bytes in one answer")
        if not data.endswith(b"\n"):
            return
        line, self._line = self._line, bytearray()
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if self._answer is None or self._answer.done() or not isinstance(answer, dict):
            self.kill("sent what is no answer to a call")
        else:
            self._answer.set_result(answer)

    def process_exited(self) -> None:
        self.usable = False
        self._kill_group()  # what it started must not outlive it, nor hold its pipes open
        self._loop.call_later(_DRAIN_S, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._death())
        self.gone.set_result(None)


async def _start() -> _Child:
    """A process that waits for its first line; it can import what this one can."""
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    _, child = await asyncio.get_running_loop().subprocess_exec(
        _Child,
        *(sys.executable, "-P", "-X", "faulthandler", "-m", "agentray.env.child"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    return child


def _exit_text(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exited with code {code}"
    names = {each.value: each.name for each in signal.Signals}
    cause = ", out of memory is the usual cause" if -code == signal.SIGKILL else ""
    return f"was killed by {names.get(-code, f'signal {-code}')}{cause}"


def _step(env: Game, reply: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
    observation, reward, terminated, truncated, info = env.step(reply)
    return observation, float(reward), terminated, truncated, info


def _contained(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except StopIteration as stop:  # no asyncio future carries it: github.com/python/cpython/issues/112182
        raise RuntimeError("the environment raised StopIteration") from stop


def _close(env: Game | None) -> None:
    try:
        if env is not None:
            env.close()
    except (Exception, SystemExit) as problem:  # the episode is over: nothing may touch its result any more
        _log.warning("an environment did not close: %r", problem)
