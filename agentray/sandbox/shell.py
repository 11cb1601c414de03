r"""A bash that keeps its state between commands: directory, variables, functions, jobs, files.

    async with sandbox.shell() as shell:
        await shell.run("cd /tmp && x=1")
        (await shell.run("echo $x; pwd")).stdout  # "1\n/tmp\n"

bash reads commands from a socket, which no command inherits or can open through /proc, and reports the
end of each with a random word on both streams. What runs in the shell can disturb this report, and so end its
shell or falsify its own results, never make the caller wait beyond the time limit. What judges an episode
should not trust its shell.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import monotonic

from agentray.sandbox import backends
from agentray.sandbox.backends import Backend
from agentray.sandbox.process import Process
from agentray.sandbox.result import Ended, Limits, Result
from agentray.sandbox.run import DEFAULT, checked, refused

_BASH = ("bash", "--noprofile", "--norc", "-s")
_CLOSE_OTHERS = 'for fd in /proc/self/fd/*; do [ "${fd##*/}" -gt 2 ] && eval "exec ${fd##*/}>&-"; done\n'
"""uvloop leaves copies of the streams open, by which a command could read what the shell will run next."""
_KEEP_STREAMS = "unset fd; exec 253>&1 254>&2\n"
"""A command may redirect the shell's own streams; the report goes to these."""
_NEXT = "</dev/null\n\n"
"""The blank line brings bash 5's parser back to its senses after a command with an unclosed quote."""
_REPORT = "{{ builtin printf '{word} %s\\n' $? >&253; builtin printf {word} >&254; }} 2>/dev/null\n"
"""Its own errors, and its trace under `set -x`, are nobody's output."""


class Shell:
    """A running shell; see `shell`."""

    def __init__(self, process: Process, limits: Limits) -> None:
        self._process, self._limits = process, limits
        self._turn = asyncio.Lock()
        self._exit_code = 0

    @property
    def alive(self) -> bool:
        """False once a command has ended the shell, or a limit has."""
        return not self._process.gone.done()

    async def run(self, command: str, timeout_s: float | None = None) -> Result:
        """Run a command, or a script of many lines, with nothing on its standard input.

        What jobs in the background wrote since the last command comes first in the streams. A command that
        exceeds its time or output ends the shell and everything in it, and so does a cancelled call; after
        that every result is `closed`.

        Args:
            command: As one would type it.
            timeout_s: Its limit of time; `Limits.wall_s` by default.
        """
        async with self._turn:
            if not self.alive:
                return Result(None, "", "", 0.0, "closed")
            if "\0" in command:
                return refused("a NUL character in the command")
            return await self._run(command, self._limits.wall_s if timeout_s is None else timeout_s)

    async def _run(self, command: str, timeout_s: float) -> Result:
        word = secrets.token_hex(16)
        restore = f"(exit {self._exit_code})\n" if "$?" in command and self._exit_code else ""
        script = f"builtin eval -- {shlex.quote(restore + command)} {_NEXT}"
        began, late = monotonic(), False
        try:
            self._process.write((script + _REPORT.format(word=word)).encode(errors="replace"))
            async with asyncio.timeout(timeout_s):
                reported = await self._report(word.encode())
        except TimeoutError:
            reported, late = None, True
        except BaseException:
            await self._process.close()
            raise
        if reported:
            return self._result(reported, monotonic() - began)
        return await self._last_result(began, late)

    async def _report(self, word: bytes) -> tuple[re.Match[bytes], int] | None:
        """Where in the streams the command ended; None if the shell ended with it."""
        pattern = re.compile(word + rb" (\d{1,3})\n")
        while True:
            out, err = pattern.search(self._process.peek(1)), self._process.peek(2).find(word)
            if out and err >= 0:
                return out, err
            if not self.alive:
                return None
            await self._process.changed()

    def _result(self, reported: tuple[re.Match[bytes], int], wall_s: float) -> Result:
        out, err = reported
        self._exit_code, (start, end), length = int(out[1]), out.span(), out.start(1) - out.start() - 1
        stdout, stderr = self._process.take(1, start), self._process.take(2, err)
        self._process.take(1, end - start)
        self._process.take(2, length)
        return Result(self._exit_code, stdout, stderr, wall_s, "exited")

    async def _last_result(self, began: float, late: bool) -> Result:
        wall_s = monotonic() - began
        await self._process.close()
        ended: Ended = "output" if self._process.overflowed else "timeout" if late else "exited"
        exit_code = self._process.exit_code if ended == "exited" else None
        return Result(exit_code, self._process.take(1), self._process.take(2), wall_s, ended)


@asynccontextmanager
async def shell(
    *, files: Mapping[str, str] | None = None, limits: Limits = DEFAULT, backend: Backend | None = None
) -> AsyncIterator[Shell]:
    """A shell in a sandbox of its own; everything in it is gone when the context ends.

    Args:
        files: Path of each file below the working directory, and its text.
        limits: What the shell and its commands may use; of time and output, each command.
        backend: What makes the sandbox; the best there is by default.

    Raises:
        ResourceError: This machine has nothing to make a sandbox with, or it did not start; so too where the
            files do not fit, or one of them is a directory of another.
        ValueError: A file is outside the working directory, or too large.
    """
    inputs = checked(files or {}, limits)
    if backend is None:
        backend = await asyncio.to_thread(backends.backend)
    process = await Process.start(_BASH, inputs, limits, backend, private_input=True)
    try:
        process.write((_CLOSE_OTHERS + _KEEP_STREAMS).encode())
        yield Shell(process, limits)
    finally:
        await process.close()
