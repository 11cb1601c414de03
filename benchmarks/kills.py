"""A rollout on a cluster in which workers, nodes and the driver are killed, again and again, by its progress.

A call is paid for again when its turn was not stored: at most once for each episode that a kill interrupts,
which are those of the lost workers, and those that were open when the driver died.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from audit import audit, command, counting, environment, report
from endpoint import endpoint, stats

from agentray.data.runs import PLAN, RunStatus, show

KINDS = ("worker", "node", "driver")
LENGTH = 5
LATENCY_S = 0.1
_POLL_S = 0.2
_PATIENCE_S = 120.0
"""Longest time without a stored turn before the run counts as stuck."""
_WORKER = "ray::RolloutWorker"
_HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
}
"""A dead node is noticed after about 3 s, with Ray's defaults after about 15 s."""
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Without it Ray takes 127.0.0.1 for the machine's outward address, where this cluster does not listen."""


def kills(quick: bool) -> dict[str, Any]:
    """Kill parts of a run, and say what that cost."""
    episodes, number = (100, 9) if quick else (2000, 99)
    kinds = [KINDS[index % len(KINDS)] for index in range(number)]
    rng = random.Random(0)
    rng.shuffle(kinds)
    started_s = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="agentray-benchmark-") as folder,
        endpoint(LATENCY_S) as url,
        _cluster(2) as nodes,
    ):
        changes = {"num_workers": 4, "in_flight": 16 if quick else 64}
        settings = counting(Path(folder, "run"), url, episodes, LENGTH, **changes)
        killer = _Killer(nodes, settings, rng)
        try:
            killer.run(kinds, LENGTH * episodes // (number + 1))
        finally:
            killer.close()
        found = audit(settings)
        events = [json.loads(line) for line in Path(folder, "run", "log.jsonl").read_text().splitlines()]
        paid_again = stats(url)["paid_again"]
    lost = [event for event in events if event["event"] == "worker_lost"]
    interrupted = killer.interrupted + sum(len(event["attempts"]) for event in lost)
    return {
        "episodes": episodes,
        "latency_s": LATENCY_S,
        **changes,
        "kills": Counter(killer.kills),
        "wall_s": time.monotonic() - started_s,
        **report(found),
        "uneven_counts": killer.uneven,
        "events": Counter(event["event"] for event in events),
        "paid_again": paid_again,
        "interrupted_episodes": interrupted,
        "goals": {
            "all_kills": len(killer.kills) == number,
            "clean": found.clean,
            "counts_add_up": not killer.uneven,
            "paid_again": paid_again <= interrupted,
        },
    }


class _Killer:
    """Keeps a run going, and kills parts of it.

    Args:
        nodes: The cluster.
        settings: The rollout.
        rng: Decides what dies.
    """

    def __init__(self, nodes: Any, settings: Mapping[str, Any], rng: random.Random) -> None:
        self._nodes, self._rng, self._settings = nodes, rng, settings
        self._directory = Path(settings["out"])
        self._log = self._directory.with_name("driver.log")
        self._driver = self._start()
        self.kills: list[str] = []
        self.interrupted = 0
        """Episodes that were open when a driver was killed."""
        self.uneven = 0
        """Times at which the counts of the run did not add up."""

    def run(self, kinds: Sequence[str], every: int) -> None:
        """Kill these, one each time that `every` more turns are stored; then let the run end."""
        for number, kind in enumerate(kinds, 1):
            if not self._until(every * number):
                return
            {"worker": self._kill_worker, "node": self._kill_node, "driver": self._kill_driver}[kind]()
            self.kills.append(kind)
        self._until(None)

    def close(self) -> None:
        """End the driver."""
        self._driver.kill()
        self._driver.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        variables = environment(RAY_ADDRESS=self._nodes.address, **_LOOPBACK)
        with self._log.open("ab") as log:
            return subprocess.Popen(command(self._settings), env=variables, stdout=log, stderr=log)

    def _until(self, turns: int | None) -> bool:
        """Wait for this many stored turns, None for the end; False when the run is over.

        Raises:
            RuntimeError: The driver failed, or the run is stuck.
        """
        most, since_s = -1, time.monotonic()
        while (code := self._driver.poll()) is None:
            stored = self._stored()
            if turns is not None and stored >= turns:
                return True
            if stored > most:
                most, since_s = stored, time.monotonic()
            if time.monotonic() - since_s > _PATIENCE_S:
                break
            time.sleep(_POLL_S)
        if code != 0:
            last = " | ".join(self._log.read_text(errors="replace").strip().splitlines()[-3:])
            raise RuntimeError(f"{most} turns are stored, and no more come (exit status {code}): {last}")
        return False

    def _status(self) -> RunStatus | None:
        """What the run says of itself; None before it has begun."""
        if not (self._directory / PLAN).exists():
            return None
        status = show(self._directory, {"count": 1.0}, most=10**9)
        parts = status.completed + status.truncated + status.failed + status.running + status.waiting
        self.uneven += status.planned != parts
        return status

    def _stored(self) -> int:
        status = self._status()
        return LENGTH * status.completed + sum(each.num_turns for each in status.slowest) if status else 0

    def _kill_driver(self) -> None:
        self.close()
        status = self._status()
        self.interrupted += status.running if status else 0
        self._driver = self._start()

    def _kill_node(self) -> None:
        """Kill a node, if possible one where a worker runs; another takes its place."""
        nodes = sorted(self._nodes.worker_nodes, key=lambda each: str(each.unique_id))
        busy = [node for node in nodes if _workers(node.all_processes["raylet"][0].process.pid)]
        self._nodes.remove_node(self._rng.choice(busy or nodes), allow_graceful=False)
        _add_node(self._nodes)

    def _kill_worker(self) -> None:
        deadline_s = time.monotonic() + _PATIENCE_S
        while not (alive := _workers(os.getpid())) and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
        self._rng.choice(alive).kill()


def _workers(below: int) -> list[psutil.Process]:
    """The rollout workers below a process."""
    found = []
    for each in psutil.Process(below).children(recursive=True):
        try:
            if " ".join(each.cmdline()).startswith(_WORKER):
                found.append(each)
        except psutil.Error:  # it ended meanwhile
            continue
    return sorted(found, key=lambda each: each.pid)


@contextmanager
def _cluster(num_nodes: int) -> Iterator[Any]:
    """A Ray cluster on loopback: a head without CPUs, where the driver runs, and nodes of 2 CPUs."""
    folder = tempfile.mkdtemp(prefix="agentray-")  # short: it holds sockets
    before = os.environ.get("RAY_TMPDIR")
    os.environ["RAY_TMPDIR"] = folder  # its own, lest another Ray on this machine is taken for it
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "dashboard_agent_listen_port": 0}
    head |= {"node_ip_address": "127.0.0.1", "_system_config": _HEALTH}
    started = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(num_nodes):
            _add_node(started)
        yield started
    finally:
        started.shutdown()
        if before is None:
            del os.environ["RAY_TMPDIR"]
        else:
            os.environ["RAY_TMPDIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


def _add_node(started: Any) -> None:
    """One more node; returns when it is alive."""
    started.add_node(num_cpus=2, node_ip_address="127.0.0.1")
