"""A rollout on a cluster in which everything that can die is killed, again and again, by the run's progress.

Rollout workers, worker nodes, the driver and the model engine are killed in a random order. What is paid for
is what the engine began to ask (forwarding.py); a call is paid again when its turn was not stored. An episode
counts as killed once for every kill that hit a worker it was with, the engine while it waited for its
answer, or the driver while it was open.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit import audit, counting, environment, report
from children import descendants, title
from endpoint import endpoint, stats
from forwarding import NAME, Call, calls

from agentray.data.runs import PLAN, RunStatus, show

KINDS = ("worker", "node", "driver", "engine")
LENGTH = 5
LATENCY_S = 0.1
_HERE = Path(__file__).resolve().parent
_POLL_S = 0.2
_PATIENCE_S = 120.0
"""Longest time without a stored turn before the run counts as stuck."""
_ACTORS = {"worker": "ray::RolloutWorker", "engine": "ray::Forwarding"}
_MOST_FAILURES = 5
"""Drivers that may end by themselves between two kills."""
_UNKNOWN = -1
_TRANSIT_S = 0.5
"""Longest way of an answer from the engine to its worker, on a busy machine."""
_PROCESS = re.compile(r"\(process (\d+) on ")
_HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
}
"""A dead node is noticed after about 3 s, with Ray's defaults after about 15 s."""

_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Without it Ray takes 127.0.0.1 for the machine's outward address, where this cluster does not listen."""


@contextmanager
def cluster(num_nodes: int) -> Iterator[Any]:
    """A Ray cluster on loopback: a head without CPUs, where the driver runs, and nodes of 2 CPUs."""
    folder = tempfile.mkdtemp(prefix="agentray-")  # short: it holds sockets
    before = os.environ.get("RAY_TMPDIR")
    os.environ["RAY_TMPDIR"] = folder  # its own, lest another Ray on this machine is taken for it
    from ray.cluster_utils import Cluster

    started = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "dashboard_agent_listen_port": 0,
            "node_ip_address": "127.0.0.1",
            "_system_config": _HEALTH,
        },
    )
    try:
        for _ in range(num_nodes):
            add_node(started)
        yield started
    finally:
        started.shutdown()
        if before is None:
            del os.environ["RAY_TMPDIR"]
        else:
            os.environ["RAY_TMPDIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


def add_node(started: Any) -> None:
    """One more node; returns when it is alive."""
    started.add_node(num_cpus=2, node_ip_address="127.0.0.1")


@dataclasses.dataclass
class Kill:
    """What was killed, and what it hit."""

    kind: str
    at_turn: int
    """Turns stored just before."""
    processes: list[int]
    """Actors that died with it."""
    open: list[str]
    """Keys of the attempts that were under way; of a driver only."""
    at_s: float = dataclasses.field(default_factory=time.monotonic)
    """Monotonic time just after."""


class Killer:
    """Keeps a run going, and kills parts of it.

    Args:
        nodes: The cluster.
        settings: The rollout.
        url: The endpoint.
        ledger: The engines' file.
        rng: Decides what dies.
    """

    def __init__(
        self, nodes: Any, settings: Mapping[str, Any], url: str, ledger: Path, rng: random.Random
    ) -> None:
        self._nodes, self._rng = nodes, rng
        self._directory = Path(settings["out"])
        self._command = [sys.executable, str(_HERE / "forwarding.py"), json.dumps(settings), url, str(ledger)]
        self._environment = environment(RAY_ADDRESS=nodes.address, PYTHONPATH=str(_HERE), **_LOOPBACK)
        self._log = ledger.with_name("driver.log")
        self._predecessors: set[int] = set()
        self._driver = self._start()
        self.kills: list[Kill] = []
        self.failures: list[tuple[str, Kill]] = []
        """Why drivers ended that were not killed, and what that hit."""
        self._since_kill = 0
        self.uneven = 0
        """Times at which the counts of the run did not add up."""

    def run(self, kinds: list[str], every: int) -> None:
        """Kill these, one each time that `every` more turns are stored; then let the run end."""
        for kind in kinds:
            if not self._until(every * (len(self.kills) + 1)):
                return
            kill = self._strike(kind)
            self._since_kill = 0
            if kill is not None:
                self.kills.append(kill)
        self._until(None)

    def close(self) -> None:
        """End the driver."""
        if self._driver.poll() is None:
            self._driver.kill()
            self._driver.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def _until(self, turns: int | None) -> bool:
        """Wait for this many stored turns, None for the end; False when the run is over.

        Raises:
            RuntimeError: The run is stuck, or its driver keeps failing.
        """
        most, since_s = -1, time.monotonic()
        while True:
            code = self._driver.poll()
            if code == 0:
                return False
            if code is not None:
                self._again(code)
            stored = self._stored()
            if turns is not None and stored >= turns:
                return True
            if stored > most:
                most, since_s = stored, time.monotonic()
            if time.monotonic() - since_s > _PATIENCE_S:
                raise RuntimeError(f"no turn for {_PATIENCE_S:g} s, {stored} stored: see {self._log}")
            time.sleep(_POLL_S)

    def _again(self, code: int) -> None:
        """Start a driver that ended by itself once more, but not for ever."""
        last = self._log.read_text(errors="replace").strip().splitlines()[-3:]
        why = f"exit status {code}: {' | '.join(last)}"
        self._since_kill += 1
        if self._since_kill > _MOST_FAILURES:
            raise RuntimeError(f"the driver keeps failing: {why}")
        self.failures.append((why, Kill("failure", self._stored(), [], self._open())))
        self._driver = self._start()

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
        if status is None:
            return 0
        return LENGTH * status.completed + sum(each.num_turns for each in status.slowest)

    def _open(self) -> list[str]:
        """Keys of the attempts that have begun and not ended."""
        status = self._status()
        return [each.key for each in status.slowest] if status else []

    def _strike(self, kind: str) -> Kill | None:
        """Kill one of these; None when there is none within a while."""
        stored = self._stored()
        if kind == "driver":
            dying = self._actors(*_ACTORS.values())
            self._driver.send_signal(signal.SIGKILL)
            self._driver.wait()
            kill = Kill(kind, stored, dying, self._open())
            self._predecessors = set(dying)
            self._driver = self._start()
            return kill
        if kind == "node":
            node, dying = self._node()
            self._nodes.remove_node(node, allow_graceful=False)
            kill = Kill(kind, stored, dying, [])
            add_node(self._nodes)
            return kill
        deadline_s = time.monotonic() + 30.0
        while not (alive := self._actors(_ACTORS[kind])):
            if time.monotonic() > deadline_s:
                return None
            time.sleep(_POLL_S)
        victim = self._rng.choice(alive)
        os.kill(victim, signal.SIGKILL)
        return Kill(kind, stored, [victim], [])

    def _node(self) -> tuple[Any, list[int]]:
        """A node, if possible one where something runs, and this driver's actors there."""
        actors = {
            node: self._actors(*_ACTORS.values(), below=node.all_processes["raylet"][0].process.pid)
            for node in sorted(self._nodes.worker_nodes, key=lambda each: str(each.unique_id))
        }
        busy = [node for node, found in actors.items() if found] or list(actors)
        node = self._rng.choice(busy)
        return node, actors[node]

    def _actors(self, *titles: str, below: int | None = None) -> list[int]:
        """Processes of this driver's actors of these classes, below a process."""
        found = descendants(os.getpid() if below is None else below)
        return sorted(
            each for each in found if each not in self._predecessors and title(each).startswith(titles)
        )


def kills(quick: bool) -> dict[str, Any]:
    """Kill parts of a run, and say what that cost."""
    episodes, number = (100, 8) if quick else (2000, 100)
    kinds = [KINDS[index % len(KINDS)] for index in range(number)]
    rng = random.Random(0)
    rng.shuffle(kinds)
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="agentray-benchmark-") as folder,
        endpoint(LATENCY_S) as url,
        cluster(2) as nodes,
    ):
        changes = {"num_workers": 4, "in_flight": 16 if quick else 64}
        settings = counting(Path(folder, "run"), url, episodes, LENGTH, **changes)
        ledger = Path(folder, "ledger")
        killer = Killer(nodes, settings, url, ledger, rng)
        try:
            killer.run(kinds, LENGTH * episodes // (number + 1))
        finally:
            killer.close()
        found = audit(settings, NAME)
        events = [json.loads(line) for line in Path(folder, "run", "log.jsonl").read_text().splitlines()]
        made = killer.kills + [kill for _, kill in killer.failures]
        price = _price(made, events, ledger)
        answered = stats(url)
        answered_again, abandoned = answered["paid_again"], answered["abandoned"]
    return {
        "episodes": episodes,
        "latency_s": LATENCY_S,
        **changes,
        "kills": Counter(kill.kind for kill in killer.kills),
        "wall_s": time.monotonic() - started,
        **report(found),
        "driver_failures": [why for why, _ in killer.failures],
        "uneven_counts": killer.uneven,
        "events": Counter(event["event"] for event in events),
        **price,
        "answered_again": answered_again,
        "abandoned": abandoned,
        "goals": {
            "all_kills": len(killer.kills) == number,
            "clean": found.clean,
            "counts_add_up": not killer.uneven,
            "no_driver_failure": not killer.failures,
            **_goals(price),
        },
        "at_turn": [(kill.kind, kill.at_turn) for kill in killer.kills],
    }


def _goals(price: Mapping[str, Any]) -> dict[str, bool]:
    return {
        "paid_again": price["paid_again"] <= price["killed_episodes"],
        "paid_again_once": price["max_paid_again_per_kill"] <= 1.0 and not price["paid_again_without_kill"],
    }


def _price(made: list[Kill], events: list[dict[str, Any]], ledger: Path) -> dict[str, Any]:
    """What was paid again, and for which killed episodes."""
    killer = {process: number for number, kill in enumerate(made) for process in kill.processes}
    hits = {(number, _seed(key)) for number, kill in enumerate(made) for key in kill.open}
    unexplained = []
    for event in events:
        if event["event"] != "worker_lost" or not event["attempts"]:
            continue
        process = _PROCESS.search(event["why"])
        number = killer.get(int(process[1]), _UNKNOWN) if process else _UNKNOWN
        if number == _UNKNOWN:
            unexplained.append(event["why"])
        hits |= {(number, _seed(key)) for key in event["attempts"]}
    noted = calls(ledger)
    died_s = {process: made[number].at_s for process, number in killer.items()}
    hits |= {(killer.get(call.process, _UNKNOWN), call.seed) for call in _interrupted(noted, died_s)}
    paid = Counter(call.seed for call in noted if not call.ended)
    again = {seed: count - LENGTH for seed, count in paid.items() if count > LENGTH}
    killed = Counter(seed for _, seed in hits)
    return {
        "paid": paid.total(),
        "paid_again": sum(again.values()),
        "killed_episodes": len(hits),
        "max_paid_again_per_kill": max(
            (count / killed[seed] for seed, count in again.items() if killed[seed]), default=0.0
        ),
        "paid_again_without_kill": sum(count for seed, count in again.items() if not killed[seed]),
        "paid_more_than_killed": {
            seed: {
                "hits": [(number, made[number].at_s) for number, hit in sorted(hits) if hit == seed],
                "calls": [call for call in noted if call.seed == seed],
            }
            for seed, count in again.items()
            if count > killed[seed]
        },
        "unexplained_losses": unexplained,
    }


def _interrupted(noted: list[Call], died_s: Mapping[int, float]) -> Iterator[Call]:
    """Calls in flight when their engine died: without an answer, or with one that was still on its way."""
    waiting: defaultdict[tuple[int, int, int], deque[int]] = defaultdict(deque)
    answered_s: dict[int, float] = {}
    last: dict[tuple[int, int], int] = {}
    for number, call in enumerate(noted):
        place = (call.process, call.seed, call.turn)
        if not call.ended:
            waiting[place].append(number)
            last[call.seed, call.turn] = number
        else:  # one engine may be asked for a turn again, by the successor of a dead worker
            answered_s[waiting[place].popleft()] = call.at_s
    for number, call in enumerate(noted):
        if call.ended or last[call.seed, call.turn] == number:
            continue
        late_s = died_s.get(call.process, float("inf")) - _TRANSIT_S
        if number not in answered_s or answered_s[number] > late_s:
            yield call


def _seed(key: str) -> int:
    """The number of the task in an attempt's key, which is its seed."""
    return int(key.split("#")[0].rpartition("/")[2])
