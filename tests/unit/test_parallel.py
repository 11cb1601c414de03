"""One function on every CPU: in order, not far ahead, and a killed process is said."""

import os
import signal
import subprocess
import sys
from itertools import count

import psutil
import pytest

from agentray import parallel
from agentray.errors import DataError, ResourceError
from agentray.parallel import ordered_map


def described(number):
    if number == -1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == -2:
        raise DataError("a", "b", "c")
    return os.getpid(), number


@pytest.fixture(autouse=True)
def two_cpus(monkeypatch):
    monkeypatch.setattr(parallel, "_num_cpus", lambda: 2)
    monkeypatch.setattr(parallel, "_has_ray", lambda: False)


def test_results_come_in_order_from_other_processes_and_items_are_read_as_needed():
    read = []
    found = ordered_map(described, (read.append(number) or number for number in count()))
    results = [next(found) for _ in range(20)]
    assert [number for _, number in results] == list(range(20))
    assert os.getpid() not in {pid for pid, _ in results}
    assert len(read) <= 20 + 2 * 2 + 2
    found.close()


def test_few_items_stay_in_this_process():
    assert [pid for pid, _ in ordered_map(described, range(3), alone=3)] == [os.getpid()] * 3
    assert list(ordered_map(described, [])) == []


def test_a_killed_process_and_an_error_of_the_function_reach_the_caller():
    with pytest.raises(ResourceError, match="a process of this stage died"):
        list(ordered_map(described, [1, 2, -1]))
    with pytest.raises(DataError):
        list(ordered_map(described, [1, 2, -2]))


ENDLESS = """
import operator, os
from itertools import repeat
from agentray import parallel

if __name__ == "__main__":
    parallel._num_cpus = lambda: 2
    for pid in parallel.ordered_map(operator.call, repeat(os.getpid)):
        print(pid, flush=True)
"""


def test_processes_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    command = [sys.executable, str(tmp_path / "endless.py")]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as started:
        worker = psutil.Process(int(started.stdout.readline()))
        started.kill()
        assert psutil.wait_procs([worker], timeout=60)[1] == []
