"""One command in one sandbox."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from agentray.sandbox import backends
from agentray.sandbox.backends import Backend
from agentray.sandbox.process import Process
from agentray.sandbox.result import Ended, Limits, Result

DEFAULT = Limits()


async def run(
    command: Sequence[str],
    *,
    stdin: str = "",
    files: Mapping[str, str] | None = None,
    limits: Limits = DEFAULT,
    backend: Backend | None = None,
) -> Result:
    """Run a command in a sandbox of its own.

    Whatever the command does, it ends as a `Result`; everything it started and wrote is gone by then.

    Args:
        command: Program and arguments.
        stdin: What the command reads from standard input.
        files: Path of each file below the working directory, and its text; written before the command begins.
        limits: What it may use.
        backend: What makes the sandbox; the best there is by default.

    Raises:
        ResourceError: This machine has nothing to make a sandbox with, or it did not start; so too where the
            files do not fit, or one of them is a directory of another.
        ValueError: A file is outside the working directory, or too large.
    """
    command, inputs = [_clean(part) for part in command], checked(files or {}, limits)
    if not command or any("\0" in part for part in command):
        return refused("a NUL character in the command" if command else "no command")
    if backend is None:
        backend = await asyncio.to_thread(backends.backend)
    try:
        process = await Process.start(command, inputs, limits, backend)
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        return refused("argument list too long")
    try:
        process.write(stdin.encode(errors="replace"))
        process.end_input()
        began = time.monotonic()
        done, _ = await asyncio.wait([process.gone], timeout=limits.wall_s)
        wall_s = time.monotonic() - began
    finally:
        await process.close()
    ended: Ended = "output" if process.overflowed else "exited" if done else "timeout"
    exit_code = process.exit_code if ended == "exited" else None
    return Result(exit_code, process.take(1), process.take(2), wall_s, ended)


def refused(reason: str) -> Result:
    """The result of a command that no system would start, as a shell reports it."""
    return Result(126, "", f"sandbox: {reason}\n", 0.0, "exited")


def _clean(text: str) -> str:
    """The text without lone surrogates, which have no bytes."""
    return text.encode(errors="replace").decode()


def checked(files: Mapping[str, str], limits: Limits) -> dict[str, bytes]:
    """The content of the files, each below the working directory and not too large.

    Raises:
        ValueError: One is not.
    """
    contents = {_clean(name): text.encode(errors="replace") for name, text in files.items()}
    for name, content in contents.items():
        parts = PurePosixPath(name).parts
        if not parts or "\0" in name or ".." in parts or name.startswith("/") or name.endswith("/"):
            raise ValueError(f"{name!r} is no path of a file below the working directory")
        if len(content) > limits.file_bytes:
            raise ValueError(f"{name!r} has more than the {limits.file_bytes} bytes that a file may have")
    return contents
