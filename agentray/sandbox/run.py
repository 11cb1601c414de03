"""One command in one sandbox."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from agentray.sandbox import backends
from agentray.sandbox.backends import Backend
from agentray.sandbox.process import Process
from agentray.sandbox.result import Ended, Limits, Result

_DEFAULT = Limits()
_ARGUMENT_BYTES = 128 * 2**10
"""Longest argument that Linux accepts with its NUL: MAX_ARG_STRLEN of linux/binfmts.h."""
_ARGUMENTS_BYTES = 2**20
"""Longest command; Linux accepts a quarter of the stack's limit, which is 2 MiB mostly."""


async def run(
    command: Sequence[str],
    *,
    stdin: str = "",
    files: Mapping[str, str] | None = None,
    limits: Limits = _DEFAULT,
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
        ResourceError: This machine has nothing to make a sandbox with, or it did not start.
        ValueError: A file is outside the working directory.
    """
    command, inputs = [_clean(part) for part in command], dict(files or {})
    _check_files(inputs, limits)
    if reason := refusal(command):
        return Result(126, "", reason, 0.0, "exited")
    if backend is None:
        backend = await asyncio.to_thread(backends.backend)
    process = await Process.start(command, inputs, limits, backend)
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


def refusal(command: Sequence[str]) -> str:
    """Why Linux would not start a command; empty if it would."""
    lengths = [len(part.encode()) + 1 for part in command]
    if any("\0" in part for part in command):
        return "sandbox: a NUL character in the command\n"
    if max(lengths, default=0) > _ARGUMENT_BYTES or sum(lengths) > _ARGUMENTS_BYTES:
        return "sandbox: argument list too long\n"
    return "" if command else "sandbox: no command\n"


def _clean(text: str) -> str:
    """The text without lone surrogates, which have no bytes."""
    return text.encode(errors="replace").decode()


def _check_files(files: Mapping[str, str], limits: Limits) -> None:
    for name, text in files.items():
        parts = PurePosixPath(name).parts
        if not parts or "\0" in name or ".." in parts or name.startswith("/") or name.endswith("/"):
            raise ValueError(f"{name!r} is no path of a file below the working directory")
        if len(text.encode(errors="replace")) > limits.file_bytes:
            raise ValueError(f"{name!r} has more than the {limits.file_bytes} bytes that a file may have")
