"""The processes below one: who they are, and what they hold. Read from `/proc`."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def descendants(root: int) -> list[int]:
    """Processes below `root` that are alive."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        for children in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            below = [int(child) for child in _text(children).split()]
            found += below
            waiting += below
    return found


def title(process: int) -> str:
    """Its command line, or the name that it gave itself; empty when it is gone."""
    return _text(Path(f"/proc/{process}/cmdline")).replace("\0", " ")


def rss_bytes(process: int) -> int:
    """Its resident memory; 0 when it is gone."""
    fields = _text(Path(f"/proc/{process}/statm")).split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def num_open_files(process: int) -> int:
    """Its file descriptors; 0 when it is gone."""
    try:
        return len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return ""
