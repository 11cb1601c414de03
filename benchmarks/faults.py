"""What a rollout loses, repeats and needs when things break, and how fast it is back.

    python benchmarks/faults.py --out faults.json
    python benchmarks/faults.py --quick --out faults.json
    python benchmarks/faults.py --measure soak --minutes 20 --out soak.json

    kills    workers, nodes and the driver killed a hundred times in one run: what is paid again (kills.py)
    memory   memory of the driver and size of the run directory while a long run goes on
    resume   from the start of the process to the first call of a run of which 100,000 attempts are stored
    soak     run after run with failing calls, dying actors and dying drivers: attempts lost, doubled, scored
             wrongly, and memory that grows (soak.py); only by name

Every measure is the real rollout stage against `endpoint.py`. Goals are in the document; the exit status is 1
when one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow.parquet as pq
from audit import MODEL, audit, command, counting, environment, report
from endpoint import endpoint, stats
from kills import kills
from soak import soak

from agentray import manifest
from agentray.config import RolloutConfig
from agentray.data.records import to_row
from agentray.data.shards import segments, shards
from agentray.data.store import SEGMENT_ROWS, read_run, write_shard
from agentray.env import TextEnvironment, build, resolve
from agentray.rollout.plan import Plan
from agentray.rollout.tasks import source_of
from agentray.types import Attempt, Message, Reply, Trajectory, Turn, Usage

MOST_DRIFT_BYTES = 50e6
MOST_DISK_RATIO = 1.2
MOST_RESUME_S = 10.0
_WARM_UP = 2000
_LEAST_STORED = 1000
"""Trajectories from which the size of a run directory is compared with theirs."""
_SAMPLE_S = 0.25
_RUN_TIMEOUT_S = 1800.0


class Sample(NamedTuple):
    """A moment of a run."""

    at_s: float
    stored: int
    rss_bytes: int
    disk_bytes: int


def memory(quick: bool) -> dict[str, Any]:
    """Watch the driver's memory and the run directory while a run goes on."""
    episodes, warm_up = (3000, 600) if quick else (20_000, _WARM_UP)
    with _folder() as folder, endpoint(0.0) as url:
        settings = counting(folder / "run", url, episodes, 3, in_flight=256)
        with _driver(settings) as driver:
            samples = list(_samples(driver, folder / "run"))
        found = audit(settings)
        disk_bytes = _disk_bytes(folder / "run")
        rows = [json.dumps(to_row(each)) for each in read_run(folder / "run").trajectories]
    mean_bytes = sum(len(row) + 1 for row in rows) / len(rows)
    warm = [each for each in samples if warm_up <= each.stored]
    rss = [each.rss_bytes for each in warm]
    drift = max(abs(each - rss[0]) for each in rss)
    slope = statistics.linear_regression([each.stored / 1000 for each in warm], rss).slope
    ratios = [
        each.disk_bytes / (each.stored * mean_bytes) for each in samples if each.stored >= _LEAST_STORED
    ]
    return {
        "episodes": episodes,
        "warm_up": warm_up,
        "wall_s": samples[-1].at_s - samples[0].at_s,
        **report(found),
        "rss_bytes": {"first": rss[0], "last": rss[-1], "min": min(rss), "max": max(rss)},
        "max_drift_bytes": drift,
        "slope_bytes_per_1000": slope,
        "json_bytes_per_trajectory": mean_bytes,
        "peak_disk_ratio": max(ratios),
        "final_disk_ratio": disk_bytes / (len(rows) * mean_bytes),
        "goals": {
            "clean": found.clean,
            "memory": drift <= MOST_DRIFT_BYTES,
            "disk": max(ratios) <= MOST_DISK_RATIO,
        },
        "samples": samples,
    }


def resume(quick: bool) -> dict[str, Any]:
    """Time a command that goes on with a long run until it asks the endpoint for the first time."""
    finished = 5000 if quick else 100_000
    with _folder() as folder, endpoint(0.0) as url:
        settings = counting(folder / "run", url, finished + 100)
        _finish(settings, finished)
        start_ray_s = _start_ray_s()
        load, started = os.getloadavg()[0], time.monotonic()
        with _driver(settings) as driver:
            driver.wait(_RUN_TIMEOUT_S)
        ended = time.monotonic()
        served, found = stats(url), audit(settings)
    first_call_s = served["first_call_s"] - started
    return {
        "finished": finished,
        "load_before": load,
        "first_call_s": first_call_s,
        "start_ray_s": start_ray_s,
        "wall_s": ended - started,
        "calls": served["calls"],
        **report(found),
        "missing_s": {name: _time_missing(name, finished) for name in ("count", "database")},
        "goals": {"clean": found.clean, "first_call": first_call_s <= MOST_RESUME_S},
    }


def _finish(settings: Mapping[str, Any], number: int) -> None:
    """Write the shards of a run whose first attempts have ended, as the expert would play them."""
    config = RolloutConfig(**settings)
    environment_ = build(resolve("count", config.env["count"]))
    attempts = islice(Plan(*source_of(config), MODEL).missing(), number)
    config.out.mkdir()
    index = 0
    while batch := [_played(environment_, each) for each in islice(attempts, SEGMENT_ROWS)]:
        write_shard(config.out / f"shard-{index:06d}.parquet", batch)
        index += 1


def _played(environment_: TextEnvironment, attempt: Attempt) -> Trajectory:
    env, expert = environment_.make(), environment_.expert(attempt.task)
    observation, _ = env.reset(seed=attempt.seed, options={"task": attempt.task})
    prompt = (*environment_.instruction(attempt.task), Message("user", observation))
    turns = []
    over = False
    while not over:
        text = expert([Message("user", observation)])
        observation, reward, over, _, info = env.step(text)
        reply = Reply(text, usage=Usage(100, 4), finish_reason="stop", latency_s=0.05)
        shown = "" if over else observation
        turns.append(Turn(reply, info["action"], shown, float(reward), f"{attempt.seed:016x}"))
    record = asdict(attempt.trajectory("completed", prompt=prompt))
    record |= {
        "task": attempt.task,
        "prompt": prompt,
        "turns": tuple(turns),
        "reward": 1.0,
        "duration_s": 0.5,
    }
    return Trajectory(**record)


def _start_ray_s() -> float:
    """Seconds until a process that does nothing else has a local Ray."""
    script = "import time; from agentray.cluster import connected\nwith connected(): print(time.monotonic())"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(),
        stdout=subprocess.PIPE,
        timeout=_RUN_TIMEOUT_S,
        check=True,
    )
    return float(done.stdout) - started


def _time_missing(name: str, finished: int) -> float:
    """Seconds until a plan of which this many attempts are stored names the first that is missing."""
    config = RolloutConfig(envs=[name], num_tasks=finished + 100, out=Path("unused"))
    started = time.monotonic()
    plan = Plan(*source_of(config), MODEL)
    plan.skip({(name, 0, seed): ("completed", 1.0, None) for seed in range(finished)}, lambda *_: None)
    attempt = next(plan.missing())
    assert attempt.seed == finished
    return time.monotonic() - started


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="agentray-benchmark-") as folder:
        yield Path(folder)


@contextmanager
def _driver(settings: Mapping[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """The rollout in a process of its own.

    Raises:
        RuntimeError: It fails.
    """
    with tempfile.TemporaryFile("w+") as messages:
        driver = subprocess.Popen(
            command(settings), env=environment(), stdout=messages, stderr=messages, text=True
        )
        try:
            yield driver
            code = driver.wait(10)
        finally:
            driver.kill()
            driver.wait()
        messages.seek(0)
        if code:
            raise RuntimeError(f"exit status {code}: {messages.read()[-2000:]}")


def _samples(driver: subprocess.Popen[str], directory: Path) -> Iterator[Sample]:
    """Memory and disk, until the driver ends."""
    rows: dict[Path, int] = {}
    while driver.poll() is None:
        if directory.exists():
            try:
                disk_bytes, stored = _disk_bytes(directory), _stored(directory, rows)
                rss_bytes = psutil.Process(driver.pid).memory_info().rss
            except (FileNotFoundError, psutil.Error):  # a segment has become a shard, or the driver has ended
                continue
            if rss_bytes:
                yield Sample(time.monotonic(), stored, rss_bytes, disk_bytes)
        time.sleep(_SAMPLE_S)


def _disk_bytes(directory: Path) -> int:
    """Size of the journal and the shards, finished or not."""
    patterns = ("journal-*", "shard-*", ".shard-*")
    return sum(path.stat().st_size for pattern in patterns for path in directory.glob(pattern))


def _stored(directory: Path, rows: dict[Path, int]) -> int:
    """Attempts that have ended; `rows` remembers those of the shards."""
    for shard in shards(directory):
        if shard not in rows:
            rows[shard] = pq.read_metadata(shard).num_rows
    numbers = {shard.stem.removeprefix("shard-") for shard in rows}
    journal = [each for each in segments(directory) if each.stem.removeprefix("journal-") not in numbers]
    return sum(rows.values()) + sum(each.read_bytes().count(b', "end": {') for each in journal)


@dataclass(frozen=True)
class Measure:
    """A part of this benchmark."""

    run: Callable[[argparse.Namespace], dict[str, Any]]
    default: bool = True


MEASURES = {
    "kills": Measure(lambda given: kills(given.quick)),
    "memory": Measure(lambda given: memory(given.quick)),
    "resume": Measure(lambda given: resume(given.quick)),
    "soak": Measure(lambda given: soak(given.quick, given.minutes), default=False),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("faults.json"))
    parser.add_argument("--quick", action="store_true", help="smaller sizes: done within three minutes")
    parser.add_argument("--measure", nargs="+", choices=MEASURES, help="only these")
    parser.add_argument("--minutes", type=float, default=0.0, help="least length of the soak")
    given = parser.parse_args()
    names = given.measure or [name for name, measure in MEASURES.items() if measure.default]
    document: dict[str, Any] = {
        "machine": manifest.machine(),
        "versions": manifest.versions(),
        "commit": manifest.commit(),
        "quick": given.quick,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    missed = []
    for name in names:
        print(name, file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        figures = {"load_before": load, **MEASURES[name].run(given)}
        document[name] = figures
        given.out.write_text(json.dumps(document, indent=1))
        missed += [f"{name}: {goal}" for goal, reached in figures["goals"].items() if not reached]
        print(name, {key: value for key, value in figures.items() if not isinstance(value, list)})
    for goal in missed:
        print("missed:", goal)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
