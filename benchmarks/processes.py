"""CPU time and memory of a process and everything it started, sampled from `/proc`.

Ray works in processes that the runner's own `getrusage` never sees, and that may end before it does.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_PERIOD_S = 0.25


class TreeSampler(threading.Thread):
    """Samples the tree below a process until it is stopped.

    Args:
        root: Process id at the top of the tree.
    """

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._stopped = threading.Event()
        self._cpu_s: dict[int, float] = {}
        self._totals: list[tuple[float, float]] = []
        self.max_rss_bytes = 0
        """Most resident memory at once, summed over the processes; pages they share count for each."""

    def run(self) -> None:
        """Sample, a few times a second."""
        while not self._stopped.is_set():
            self._sample()
            self._stopped.wait(_PERIOD_S)

    def stop(self) -> None:
        """End the sampling."""
        self._stopped.set()
        self.join()

    def cpu_s(self, start_s: float, end_s: float) -> float:
        """CPU seconds of the tree between two times of the monotonic clock, interpolated."""
        return self._total(end_s) - self._total(start_s)

    def _sample(self) -> None:
        rss_bytes = 0
        for process, (cpu_s, process_rss_bytes) in _tree(self._root).items():
            self._cpu_s[process] = cpu_s  # that of a process that ended stays in the sum
            rss_bytes += process_rss_bytes
        self._totals.append((time.monotonic(), sum(self._cpu_s.values())))
        self.max_rss_bytes = max(self.max_rss_bytes, rss_bytes)

    def _total(self, at_s: float) -> float:
        before = (0.0, 0.0)
        for after in self._totals:
            if after[0] >= at_s:
                share = (at_s - before[0]) / (after[0] - before[0])
                return before[1] + share * (after[1] - before[1])
            before = after
        return before[1]


def _tree(root: int) -> dict[int, tuple[float, int]]:
    """CPU seconds and resident bytes of every process at or below `root`."""
    parents: dict[int, int] = {}
    figures: dict[int, tuple[float, int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name, in parentheses, may hold spaces; fields after it are counted from 3 as in proc(5).
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        process = int(entry.name)
        parents[process] = int(fields[1])
        figures[process] = (
            (int(fields[11]) + int(fields[12])) / _TICKS_PER_S,
            int(fields[21]) * _PAGE_BYTES,
        )
    inside = {root}
    grew = True
    while grew:
        found = {process for process, parent in parents.items() if parent in inside} - inside
        inside |= found
        grew = bool(found)
    return {process: figures[process] for process in inside if process in figures}
