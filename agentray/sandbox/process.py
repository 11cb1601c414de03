"""One sandbox as its host sees it: bounded output, a kill that reaches everything, no wait without an end.

A protocol class: `wait()` of `asyncio.create_subprocess_exec` also waits for whoever inherited a pipe.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal, cast

from agentray.errors import ResourceError
from agentray.sandbox import cgroup
from agentray.sandbox.backends import Backend
from agentray.sandbox.launch import Launch
from agentray.sandbox.result import Limits

_log = logging.getLogger(__name__)

_START_S = 30.0
"""Longest wait for a sandbox to begin; it takes hundredths of a second."""
_DRAIN_S = 0.5
"""Longest wait for the last words of a sandbox that has ended."""
_GONE_S = 10.0
"""Longest wait for the kernel to clear a killed sandbox away, and time between two looks."""
_CLEARING_S = 0.002

_BEGIN = r"""
if [ -w /etc ]; then
  printf '%s\n' 'root:x:0:0::/root:/bin/sh' 'agent:x:1000:1000::/home/agent:/bin/bash' >/etc/passwd
  printf '%s\n' 'root:x:0:' 'agent:x:1000:' >/etc/group
  printf '%s\n' '127.0.0.1 localhost sandbox' >/etc/hosts
fi
ready=$1; shift
while [ "$1" != -- ]; do
  case $1 in ./*/*) mkdir -p "${1%/*}" || exit 1;; esac
  head -c "$2" >"$1" || exit 1
  shift 2
done
shift
printf %s "$ready" >&2
exec "$@"
"""
"""Runs inside, already confined: takes the files from standard input, says so, and becomes the command."""


class _Input(asyncio.BaseProtocol):
    """The host's end of a sandbox's standard input."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)


class Process(asyncio.SubprocessProtocol):
    """The host's end of one sandbox.

    Args:
        limits: Of its output, and of its control group.
    """

    def __init__(self, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._groups = cgroup.create(limits)
        self._limit_bytes = limits.output_bytes
        self._written = {1: bytearray(), 2: bytearray()}
        self._ready = secrets.token_hex(16).encode()
        self._begun = False
        self._changed: asyncio.Future[None] | None = None
        self._stop_command: tuple[str, ...] = ()
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.overflowed = False

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        files: Mapping[str, bytes],
        limits: Limits,
        backend: Backend,
        *,
        private_input: bool = False,
    ) -> Process:
        """A sandbox in which the command has begun, with its files in the working directory.

        Args:
            command: Program and arguments.
            files: Path of each file below the working directory, and its content.
            limits: What it may use.
            backend: What makes the sandbox.
            private_input: Whether what the command starts is kept from opening the command's standard input
                through /proc: a pipe can be opened by its owner, who is the caller's own user; a socket by
                nobody.

        Raises:
            ResourceError: The sandbox could not be made.
        """
        sizes = [part for name, content in files.items() for part in (f"./{name}", str(len(content)))]
        self = cls(limits)
        inner = ["sh", "-c", _BEGIN, "sh", self._ready.decode(), *sizes, "--", *command]
        try:
            await self._spawn(inner, backend.launch(limits), private_input)
            self.write(b"".join(files.values()))
            await self._wait_until_begun(backend)
        except BaseException:
            await self.close()
            raise
        return self

    async def _spawn(self, inner: Sequence[str], launch: Launch, private_input: bool) -> None:
        self._stop_command = launch.stop
        if private_input:
            theirs, ours = (each.detach() for each in socket.socketpair())
        else:
            theirs, ours = os.pipe()
        try:
            pipe = open(ours, "wb", buffering=0)  # noqa: SIM115 - the transport closes it
            self._stdin, self._input = await self._loop.connect_write_pipe(_Input, pipe)
            await self._loop.subprocess_exec(
                lambda: self,
                *(*cgroup.entering(self._groups), *launch.argv, *inner),
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(launch.environment),
                cwd="/",
                pass_fds=launch.descriptors,
                start_new_session=True,
            )
        finally:
            for descriptor in (theirs, *launch.descriptors):
                os.close(descriptor)

    async def _wait_until_begun(self, backend: Backend) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                while not self._begun and not self.gone.done():
                    await self.changed()
        if not self._begun:
            said = self._written[2].decode(errors="replace").strip()
            raise ResourceError(
                "the sandbox did not start",
                f"{backend.name} said: {said or 'nothing'}",
                "agentray doctor",
            )

    def write(self, data: bytes) -> None:
        """Send to standard input, as fast as it is read."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(data)

    def end_input(self) -> None:
        """Close standard input once everything is read."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write_eof()

    async def changed(self) -> None:
        """Wait for output, or for the end; one caller at a time."""
        if not self.gone.done():
            self._changed = self._loop.create_future()
            await self._changed

    def peek(self, stream: Literal[1, 2]) -> bytearray:
        """What was written and not yet taken."""
        return self._written[stream]

    def take(self, stream: Literal[1, 2], end: int | None = None) -> str:
        """Text of what was written, to the offset `end`; the rest stays."""
        taken = self._written[stream][:end]
        del self._written[stream][:end]
        return taken.decode(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """As a shell reports it; None while it runs."""
        code = None if self._transport is None else self._transport.get_returncode()
        return code if code is None or code >= 0 else 128 - code

    def kill(self) -> None:
        """End everything inside at once."""
        if self._transport is not None and self._transport.get_returncode() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._transport.get_pid(), signal.SIGKILL)

    async def close(self) -> None:
        """Kill it and wait until it is gone, within seconds."""
        self.kill()
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GONE_S):
                await self._stop()
                if self._stdin is not None:
                    await asyncio.wait([self._input.closed])
                if self._transport is not None:
                    await asyncio.wait([self.gone])
                while not cgroup.removed(self._groups):
                    await asyncio.sleep(_CLEARING_S)
                return
        _log.warning("a sandbox is still there %g s after it was killed", _GONE_S)

    async def _stop(self) -> None:
        if self._stop_command:
            null = subprocess.DEVNULL
            command = asyncio.create_subprocess_exec(
                *self._stop_command, stdin=null, stdout=null, stderr=null
            )
            await (await command).wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's is no subclass

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Called by the event loop."""
        self._written[fd] += data
        if fd == 2 and not self._begun and self._ready in self._written[2]:
            self._begun = True
            self._written[2] = self._written[2].replace(self._ready, b"", 1)
        if self._begun:
            self._cut(fd)
        self._wake()

    def _cut(self, last: int) -> None:
        """Keep to the limit of output; it may come before the word that it has begun, by the other pipe."""
        for stream in (last, 3 - last):
            excess = sum(map(len, self._written.values())) - self._limit_bytes
            if excess > 0:
                del self._written[stream][-excess:]
                self.overflowed = True
                self.kill()

    def process_exited(self) -> None:
        """Called by the event loop."""
        assert self._transport is not None
        self._loop.call_later(_DRAIN_S, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop, when the process and its pipes are gone."""
        assert self._transport is not None
        self._transport.close()
        self.gone.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
