"""CPU time and memory of a process and everything it started.

Ray works in processes that the runner's own `getrusage` never sees, and that may end before it does.
"""

from __future__ import annotations

import threading
import time

import psutil

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
    figures = {}
    for process in _below(root):
        try:
            spent = process.cpu_times()
            figures[process.pid] = (spent.user + spent.system, process.memory_info().rss)
        except psutil.Error:  # it ended meanwhile
            continue
    return figures


def _below(root: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(root)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []
