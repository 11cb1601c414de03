"""Threads for calls that may hang. Nobody waits for one of them, not even the end of the process.

The threads of a `ThreadPoolExecutor` are joined when the interpreter ends, so one call that hangs would keep
a process alive whose work is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")


class Threads:
    """Runs calls at once, as far as there are threads, else in the order of their coming.

    Args:
        limit: Most threads; they start when they are needed.
        name: What their names begin with.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._name = limit, name
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._starting = threading.Lock()
        self._num_threads = 0
        self._closed = False

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
        """What the call will return; it can be cancelled until it begins.

        Raises:
            RuntimeError: The threads are closed.
        """
        future: Future[_T] = Future()
        with self._starting:
            if self._closed:
                raise RuntimeError("the threads are closed")
            self._calls.put((future, call))
            if not self._idle.acquire(blocking=False) and self._num_threads < self._limit:
                self._num_threads += 1
                name = f"{self._name}-{self._num_threads}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """Take no more calls; the threads end after those that were taken."""
        with self._starting:
            self._closed = True
            for _ in range(self._num_threads):
                self._calls.put(None)

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as problem:  # it belongs to who waits for the call
                    future.set_exception(problem)
            del item, future, call  # an idle thread keeps nothing alive
            self._idle.release()
