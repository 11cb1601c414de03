"""The lock of a run directory: one process writes it at a time, and anybody can ask which one does."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from agentray.errors import ResourceError

_NAME = ".lock"
_TRIES, _PAUSE_S = 20, 0.05
"""How often the lock is asked for: `owner` holds it for an instant, and that must not stop a writer."""


def lock(directory: Path) -> IO[str]:
    """Take the lock; closing the stream gives it back.

    Raises:
        ResourceError: Another process has the run open, or the disk has no locks.
    """
    stream = (directory / _NAME).open("a+", encoding="utf-8")
    try:
        _take(stream)
    except BlockingIOError as error:
        stream.seek(0)
        why = f"{stream.read().strip() or 'another process'} has it open"
        stream.close()
        raise ResourceError(
            f"run {str(directory)!r} is in use", why, "wait for it, or give another --out"
        ) from error
    except OSError as error:
        stream.close()
        raise ResourceError(
            f"cannot lock run {str(directory)!r}", str(error), "give an --out on a disk that has file locks"
        ) from error
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {os.uname().nodename}")
    stream.flush()
    return stream


def owner(directory: Path) -> str | None:
    """The process that has a run open, by number and host; None when none has."""
    try:
        with (directory / _NAME).open(encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return stream.read().strip() or "another process"
    except FileNotFoundError:
        pass
    return None


def _take(stream: IO[str]) -> None:
    for _ in range(_TRIES - 1):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(_PAUSE_S)
    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
