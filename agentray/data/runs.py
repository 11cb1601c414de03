"""What a run directory says of itself, while the run goes on or after it.

agentray runs show runs/rollout
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from agentray.data.lock import owner
from agentray.data.reading import RunReader
from agentray.errors import UsageError
from agentray.stage import PLAN

_COLUMNS = ("env", "task_id", "sample", "reward", "error")


@dataclass(frozen=True)
class Running:
    """An attempt that has begun and not ended."""

    key: str
    num_turns: int
    age_s: float


@dataclass(frozen=True)
class RunStatus:
    """Counts of a run: `planned == completed + truncated + failed + running + waiting`."""

    out: str
    owner: str | None
    """The process that has the run open; None when none has."""
    planned: int
    completed: int
    truncated: int
    failed: int
    running: int
    """Begun and not ended; interrupted, when no process has the run open."""
    waiting: int
    kept: int
    """Attempts with at least their environment's reward threshold."""
    mean_reward: Mapping[str, float | None]
    """By environment, over attempts that were scored."""
    pass_at: Mapping[str, float]
    """Chance that at least one of k attempts at a task is kept, where tasks have several scored attempts."""
    best_of: Mapping[str, float]
    """Mean over tasks of the best reward among their first n attempts."""
    slowest: Sequence[Running]
    """What has been running longest."""
    failures: Mapping[str, str]
    """Why attempts failed, by key."""
    set_aside: Sequence[str]
    """Files and lines that cannot be read."""


def show(directory: Path, thresholds: Mapping[str, float], *, most: int = 5) -> RunStatus:
    """Count what a run has done.

    Args:
        directory: Run directory.
        thresholds: Reward from which an attempt is kept, by environment.
        most: Most running and failed attempts to name.

    Raises:
        UsageError: The directory is not a rollout's.
    """
    planned = read_plan(directory)["planned"]
    reader = RunReader(directory, _COLUMNS, may_be_empty=True)
    failures = {row["key"]: row["error"] for row in _rows(reader) if row["status"] == "failed"}
    running = _running(reader, failures)
    again = {each.key for each in running}
    statuses: Counter[str] = Counter()
    tasks: dict[tuple[str, str], list[tuple[int, float, bool]]] = defaultdict(list)
    rewards: dict[str, list[float]] = {env: [] for env in thresholds}
    for row in _rows(reader):
        if row["key"] in again:
            continue
        statuses[row["status"]] += 1
        if row["reward"] is None:
            continue
        kept = row["reward"] >= thresholds[row["env"]]
        tasks[row["env"], row["task_id"]].append((row["sample"], row["reward"], kept))
        rewards[row["env"]].append(row["reward"])
    num_ended, lost_lines = statuses.total(), reader.journal.unreadable
    return RunStatus(
        out=str(directory),
        owner=owner(directory),
        planned=max(planned, num_ended + len(running)),
        completed=statuses["completed"],
        truncated=statuses["truncated"],
        failed=statuses["failed"],
        running=len(running),
        waiting=max(0, planned - num_ended - len(running)),
        kept=sum(kept for attempts in tasks.values() for _, _, kept in attempts),
        mean_reward={env: sum(each) / len(each) if each else None for env, each in rewards.items()},
        pass_at=_pass_at(tasks.values()),
        best_of=_best_of(tasks.values()),
        slowest=running[:most],
        failures=dict(islice(((key, why) for key, why in failures.items() if key not in again), most)),
        set_aside=[*reader.set_aside, *([f"journal: {lost_lines} lines"] if lost_lines else [])],
    )


def read_plan(directory: Path) -> dict[str, Any]:
    """What a rollout said it would make.

    Raises:
        UsageError: The directory is not a rollout's.
    """
    try:
        plan: dict[str, Any] = json.loads((directory / PLAN).read_text(encoding="utf-8"))
        int(plan["planned"]), list(plan["envs"]), dict(plan["env"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{str(directory)!r} is not a rollout", f"it has no readable {PLAN}", "give a rollout's --out"
        ) from error
    return plan


def pass_at_k(correct: int, total: int, k: int) -> float:
    """Unbiased chance that at least one of `k` attempts passes.

    Args:
        correct: Attempts that passed, `0 <= correct <= total`.
        total: Attempts made at this task.
        k: Attempts allowed, `1 <= k <= total`.

    Returns:
        A probability in [0, 1].

    Raises:
        ValueError: An argument is outside the ranges above.

    Source: Chen et al. 2021, arXiv:2107.03374, equation 1.
    """
    if not (0 <= correct <= total and 1 <= k <= total):
        raise ValueError(f"correct {correct}, total {total}, k {k}")
    return 1.0 - math.comb(total - correct, k) / math.comb(total, k)


def _pass_at(tasks: Iterable[Sequence[tuple[int, float, bool]]]) -> dict[str, float]:
    """pass@k for k = 1, 2, 4, ... up to the attempts that every task has."""
    counted = [(sum(kept for _, _, kept in attempts), len(attempts)) for attempts in tasks]
    least = min((total for _, total in counted), default=0)
    return {
        str(k): sum(pass_at_k(correct, total, k) for correct, total in counted) / len(counted)
        for k in _powers(least)
    }


def _best_of(tasks: Iterable[Sequence[tuple[int, float, bool]]]) -> dict[str, float]:
    """Mean best reward among the first n attempts, n = 1, 2, 4, ... up to those that every task has."""
    ordered = [[reward for _, reward, _ in sorted(attempts)] for attempts in tasks]
    least = min(map(len, ordered), default=0)
    return {str(n): sum(max(each[:n]) for each in ordered) / len(ordered) for n in _powers(least)}


def _powers(least: int) -> list[int]:
    return [2**i for i in range(least.bit_length())] if least > 1 else []


def _rows(reader: RunReader) -> Iterator[dict[str, Any]]:
    """Outcomes, a few at a time."""
    for batch in reader.outcomes.to_batches(max_chunksize=1024):
        yield from batch.to_pylist()


def _running(reader: RunReader, failed: Collection[str]) -> list[Running]:
    """Attempts that have begun and not ended, one that failed and is made again included."""
    ended = set(reader.outcomes["key"].to_pylist()) - set(failed)
    found = [
        Running(key, len(lines) - 1, max(0.0, time.time() - json.loads(lines[0])["at"]))
        for key, lines in reader.journal.open.items()
        if key not in ended
    ]
    return sorted(found, key=lambda each: -each.age_s)
