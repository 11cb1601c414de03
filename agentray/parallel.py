"""One function over many items on every CPU, in order, with bounded memory.

The CPUs are the cluster's where this process is connected to Ray or `RAY_ADDRESS` names one, else this
machine's. The results and their order are the same for any number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import Any, TypeVar

from agentray.cluster import cause, connected
from agentray.errors import ResourceError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_IN_FLIGHT = 2
"""Items a process has waiting, the one it works on included."""
_function: Callable[[Any], Any]
"""What a process of the pool computes."""
_held: dict[str, Callable[[Any], Any]] = {}
"""What a Ray worker computes, by the object that holds it: loading it for every item would take longer."""


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, alone: int = 1
) -> Iterator[_Result]:
    """What a function makes of each item, in the order of the items.

    Args:
        function: Pickled once for each process.
        items: Read only as far ahead as the processes need.
        alone: Items that are worth no other process: up to as many are computed in this one.

    Raises:
        ResourceError: A process was killed, or could not start: a script that calls this from its top level
            needs `if __name__ == "__main__":`.
    """
    items = iter(items)
    first = list(islice(items, alone + 1))
    if len(first) <= alone:
        yield from map(function, first)
        return
    items = chain(first, items)
    if _has_ray():
        with connected():
            yield from _on_ray(function, items)
    elif (num_cpus := _num_cpus()) > 1:
        yield from _on_processes(function, items, num_cpus)
    else:
        yield from map(function, items)


def _has_ray() -> bool:
    ray = sys.modules.get("ray")
    return bool(os.environ.get("RAY_ADDRESS")) or (ray is not None and ray.is_initialized())


def _num_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _on_processes(
    function: Callable[[_Item], _Result], items: Iterable[_Item], num_processes: int
) -> Iterator[_Result]:
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    pool = ProcessPoolExecutor(num_processes, context, initializer=_hold, initargs=(function,))
    try:
        waiting = (pool.submit(_compute, each) for each in items)
        yield from (each.result() for each in _ahead(waiting, _IN_FLIGHT * num_processes))
    except BrokenProcessPool as error:
        why = "it was killed, most likely because memory ran out, or could not start: see what it printed"
        raise _died(why, "run it with more memory, or on fewer CPUs: taskset -c 0-1 agentray ...") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _on_ray(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    import ray

    held = [ray.put(function)]  # in a list, or each task would load it
    compute = ray.remote(num_cpus=1)(_compute_held)
    waiting = (compute.remote(held, each) for each in items)
    num_cpus = int(ray.cluster_resources().get("CPU", 1))
    try:
        yield from (ray.get(each) for each in _ahead(waiting, _IN_FLIGHT * num_cpus))
    except ray.exceptions.RayTaskError as error:
        raise cause(error) from error
    except ray.exceptions.RayError as error:
        raise _died(str(error).partition("\n")[0], "run it again") from error


def _died(why: str, fix: str) -> ResourceError:
    return ResourceError("a process of this stage died", why, fix)


def _ahead(started: Iterator[_Item], number: int) -> Iterator[_Item]:
    """What an iterator starts, in order, with the given number started ahead."""
    window: deque[_Item] = deque()
    for each in started:
        window.append(each)
        if len(window) > number:
            yield window.popleft()
    yield from window


def _hold(function: Callable[[Any], Any]) -> None:
    """Make a process of the pool ready."""
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _compute(item: Any) -> Any:
    return _function(item)


def _compute_held(held: list[Any], item: Any) -> Any:
    import ray

    key = held[0].hex()
    if key not in _held:
        _held.clear()
        _held[key] = ray.get(held[0])
    return _held[key](item)
