"""Environments in processes of their own, killed when a call is cancelled and renewed after some episodes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, cast

from agentray.env import TextEnvironment
from agentray.rollout.hosting import base
from agentray.rollout.hosting.base import Session, Step, log
from agentray.types import EnvSpec, Task

_DRAIN_S = 0.5
"""Longest wait for the last words of a dead process whose pipe another process holds open."""
_LINE_LIMIT_BYTES = 16 * 2**20
_STDERR_TAIL_BYTES = 4096


class Process:
    """Keeps processes, those that play and those that wait for an episode; a `Mode`."""

    stuck = 0

    def __init__(self, spec: EnvSpec, environment: TextEnvironment) -> None:
        self._spec, self._recycle_after = spec, environment.hosting.recycle_after
        self._alive: set[_Child] = set()
        self._idle: list[_Child] = []
        self._closing: set[asyncio.Task[None]] = set()

    def open(self) -> Session:
        """An environment for one episode."""
        return _Session(self)

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
            async with asyncio.timeout(base.CLOSE_TIMEOUT_S):
                await child.call({"call": "close"})
            if child.num_episodes < self._recycle_after:
                self._idle.append(child)
            else:
                child.kill()
        except (RuntimeError, TimeoutError) as problem:
            log.warning("an environment did not close (%r): its process is replaced", problem)
            child.kill()
        finally:
            free()

    async def close(self) -> None:
        """Let environments finish closing; kill all processes."""
        if self._closing:
            await asyncio.wait(self._closing)  # each has its own timeout
        for child in self._alive:
            child.kill()
        if self._alive:
            await asyncio.wait([child.gone for child in self._alive], timeout=base.CLOSE_TIMEOUT_S)


class _Session:
    def __init__(self, mode: Process) -> None:
        self._mode = mode
        self._child: _Child | None = None

    async def reset(self, seed: int, task: Task) -> tuple[str, dict[str, Any]]:
        self._child = await self._mode.take()
        self._child.num_episodes += 1
        answer = await self._child.call({"call": "reset", "seed": seed, "task": asdict(task)})
        return answer["observation"], answer["info"]

    async def step(self, reply: str) -> Step:
        assert self._child is not None, "step() before reset()"
        seen = await self._child.call({"call": "step", "reply": reply})
        return seen["observation"], seen["reward"], seen["terminated"], seen["truncated"], seen["info"]

    def end(self, free: Callable[[], None]) -> None:
        if self._child is None or not self._child.usable:  # it never began, died or was killed in a call
            free()
        else:
            self._mode.give_back(self._child, free)


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
