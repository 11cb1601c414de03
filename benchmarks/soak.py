"""Rollouts under chaos, one after the other for as long as asked: does anything get lost, or grow?

Each round is a run in a fresh directory. A driver in a process of its own begins it and is killed; this
process goes on with it. All rounds share this process and its Ray, so what a run leaves behind adds up.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from audit import audit, command, counting, environment, report
from endpoint import endpoint

from agentray.cluster import connected
from agentray.config import RolloutConfig
from agentray.data.runs import PLAN, show
from agentray.rollout.run import run

FAULTS = 0.05
CHAOS = {
    "kill-actor": 0.002,
    "http-500": 0.05,
    "http-429": 0.02,
    "timeout": 0.01,
    "garbage": 0.02,
    "truncated": 0.02,
}
MOST_GROWTH_BYTES = 50e6
_LEAST_ROUNDS = 2
_WARM_UP_ROUNDS = 2
_BEGIN_TIMEOUT_S = 180.0
_SETTLE_S = 5.0
"""Time that Ray takes to end the processes of a run."""


def soak(quick: bool, minutes: float) -> dict[str, Any]:
    """Rounds until the time is over."""
    import ray

    episodes = 200 if quick else 2000
    rng = random.Random(0)
    rounds: list[dict[str, Any]] = []
    deadline_s = time.monotonic() + 60 * minutes
    with endpoint(0.05, FAULTS, stall_s=3.0) as url, connected():
        address = ray.get_runtime_context().gcs_address
        while len(rounds) < _LEAST_ROUNDS or time.monotonic() < deadline_s:
            with tempfile.TemporaryDirectory(prefix="agentray-benchmark-") as folder:
                changes: dict[str, Any] = {"in_flight": 128, "turn_timeout_s": 2.0, "chaos": CHAOS}
                settings = counting(Path(folder, "run"), url, episodes, **changes)
                rounds.append(_round(settings, address, rng.uniform(0.2, 0.8) * episodes))
            shown = {name: rounds[-1][name] for name in ("wall_s", "clean", "rss_bytes", "num_processes")}
            print(f"round {len(rounds)}: {shown}", flush=True)
    growth = {name: _growth([each[name] for each in rounds]) for name in ("rss_bytes", "num_open_files")}
    growth["num_processes"] = _growth([each["num_processes"] for each in rounds])
    return {
        "episodes": episodes,
        "faults": FAULTS,
        **changes,
        "growth": growth,
        "goals": {
            "clean": all(each["clean"] and each["counts_add_up"] for each in rounds),
            "memory": growth["rss_bytes"] <= MOST_GROWTH_BYTES,
            "open_files": growth["num_open_files"] <= len(rounds) // 10 + 4,
            "processes": growth["num_processes"] <= 4,
        },
        "rounds": rounds,
    }


def _round(settings: Mapping[str, Any], address: str, kill_at: float) -> dict[str, Any]:
    """Begin a run in another process, kill that, go on here, and look what there is."""
    load, started = os.getloadavg()[0], time.monotonic()
    interrupted = _interrupt(settings, address, kill_at)
    summary = run(RolloutConfig(**settings))
    wall_s = time.monotonic() - started
    after = show(Path(settings["out"]), {"count": 1.0})
    ended = summary.completed + summary.truncated + summary.failed
    counts = (summary.planned, ended, after.completed, after.running, after.waiting)
    wanted = settings["num_tasks"]
    time.sleep(_SETTLE_S)
    me = psutil.Process()
    return {
        "wall_s": wall_s,
        "load_before": load,
        "interrupted_at": interrupted,
        "resumed": summary.resumed,
        "counts_add_up": counts == (wanted, wanted, wanted, 0, 0),
        **report(audit(settings)),
        "retries": summary.retries,
        "lost_workers": summary.lost_workers,
        "late_results": summary.late_results,
        "replay_mismatches": summary.replay_mismatches,
        "rss_bytes": me.memory_info().rss,
        "num_open_files": me.num_fds(),
        "num_processes": len(me.children(recursive=True)),
    }


def _interrupt(settings: Mapping[str, Any], address: str, kill_at: float) -> int:
    """Kill a driver when this many attempts are stored; how many were.

    Raises:
        RuntimeError: It ended by itself, or takes too long.
    """
    directory = Path(settings["out"])
    with tempfile.TemporaryFile("w+") as messages:
        driver = subprocess.Popen(
            command(settings), env=environment(RAY_ADDRESS=address), stdout=messages, stderr=messages
        )
        try:
            deadline_s = time.monotonic() + _BEGIN_TIMEOUT_S
            while not _stored(directory) >= kill_at:
                if driver.poll() is not None or time.monotonic() > deadline_s:
                    messages.seek(0)
                    raise RuntimeError(f"a driver ended or is stuck: {messages.read()[-2000:]}")
                time.sleep(0.1)
        finally:
            driver.kill()
            driver.wait()
    return _stored(directory)


def _stored(directory: Path) -> int:
    return show(directory, {"count": 1.0}).completed if (directory / PLAN).exists() else 0


def _growth(values: Sequence[float]) -> float:
    """From the median of the first rounds after the warm-up to that of the last."""
    warm = values[min(_WARM_UP_ROUNDS, len(values) - 1) :]
    part = max(1, len(warm) // 3)
    return statistics.median(warm[-part:]) - statistics.median(warm[:part])
