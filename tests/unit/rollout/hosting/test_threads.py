import subprocess
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from agentray.rollout.hosting.threads import Threads


@pytest.fixture
def gate():
    event = threading.Event()
    yield event
    event.set()


def test_calls_run_at_once_as_far_as_there_are_threads_and_then_in_order(gate):
    threads, done, begun = Threads(2, "test"), [], threading.Barrier(3)

    def waits():
        begun.wait(60)
        gate.wait()

    first = [threads.submit(waits) for _ in range(2)]
    begun.wait(60)  # both run
    later = [threads.submit(lambda number=number: done.append(number)) for number in range(3)]
    assert later[1].cancel() and not any(each.running() for each in later)
    gate.set()
    for each in (*first, later[0], later[2]):
        each.result(60)
    assert done == [0, 2]
    with pytest.raises(CancelledError):
        later[1].result(60)
    threads.close()


@pytest.mark.parametrize("problem", [OSError("no display"), BaseException("a panic"), SystemExit(3)])
def test_what_a_call_raises_is_its_future_s(problem):
    def fails():
        raise problem

    threads = Threads(1, "test")
    assert threads.submit(fails).exception(60) is problem
    assert threads.submit(lambda: "alive").result(60) == "alive"
    threads.close()
    with pytest.raises(RuntimeError, match="closed"):
        threads.submit(fails)


def test_a_call_that_hangs_does_not_keep_the_process_alive():
    script = """
import threading
from agentray.rollout.hosting.threads import Threads
begun = threading.Event()
Threads(1, "test").submit(lambda: (begun.set(), threading.Event().wait()))
begun.wait()
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=120).returncode == 0
