"""Scores of our own models on the tasks of the table, from evaluation runs and from a general suite.

A suite's results are `suite.json` in a directory, with scores on the benchmark's scale:

    {"suite": "general", "policy": "smollm2-135m",
     "tasks": {"mmlu": {"score": 25.0, "n": 100, "failed": 0, "stand_in": true}}}

`n` counts what was scored, `failed` what the machinery lost. A task that does not say is a stand-in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentray.data import stored
from agentray.data.stored import StoredRun
from agentray.env import Environment, build, resolve
from agentray.errors import DataError, UsageError, closest
from agentray.evaluate.run import score
from agentray.overall.baselines import Baselines, BaselineTask
from agentray.types import Trajectory

SUITE = "suite.json"
_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One policy's score in one task, on the benchmark's scale."""

    score: float
    """As the original harness counts: attempts that the machinery lost are left out."""
    failed_as_zero: float | None
    """The same with lost attempts counted as 0; None where the record does not tell."""
    n: int
    """Scored attempts or items."""
    failed: int
    """Attempts or items that the machinery lost."""
    stand_in: bool
    """Whether generated tasks stand in for the benchmark's own."""
    source: str
    """Directory it was read from."""
    notes: tuple[str, ...] = ()
    """What keeps the score from being comparable with the published ones."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What directories hold: scores by policy and task, and what has no place in the table."""

    policies: Mapping[str, Mapping[str, TaskScore]]
    left_out: tuple[str, ...]
    """Environments and suite tasks that are not in the table, each with its directory."""


def read(directories: Sequence[Path], baselines: Baselines) -> Measured:
    """Scores of all directories.

    Raises:
        UsageError: A directory is missing or no finished run or suite, none holds a task of the table, or
            two hold the same task of one policy.
        DataError: What is stored cannot be read, or is no score.
    """
    policies: dict[str, dict[str, TaskScore]] = {}
    left_out = []
    for directory in directories:
        for policy, name, found in _scores(directory, baselines):
            if found is None:
                left_out.append(f"{directory}: {name}")
                continue
            tasks = policies.setdefault(policy, {})
            if name in tasks:
                raise UsageError(
                    f"two scores of {name!r} for policy {policy!r}",
                    f"{tasks[name].source} and {directory} both hold one",
                    "give one of them",
                )
            tasks[name] = found
    if not policies:
        known = {task.environment for task in baselines.tasks.values()}
        stranger = left_out[0].rpartition(": ")[2] if left_out else ""
        raise UsageError(
            "none of these directories holds a score of a task in the table",
            f"{'; '.join(left_out) or 'nothing in them was scored'}; {closest(stranger, known)}",
            "give evaluation runs of these environments, or a directory with a suite.json",
        )
    return Measured(policies, tuple(left_out))


def _scores(directory: Path, baselines: Baselines) -> Iterator[tuple[str, str, TaskScore | None]]:
    """Policy, task and score; a score of None, and the environment's id, for what is not in the table."""
    if (directory / SUITE).is_file():
        yield from _suite_scores(directory / SUITE, baselines)
    else:
        yield from _run_scores(stored.read(directory), baselines)


def _run_scores(run: StoredRun, baselines: Baselines) -> Iterator[tuple[str, str, TaskScore | None]]:
    names = {task.environment: name for name, task in baselines.tasks.items()}
    groups: dict[tuple[str, str], list[Trajectory]] = {}
    for each in run.trajectories:
        groups.setdefault((each.policy, each.task.env), []).append(each)
    for (policy, env), trajectories in groups.items():
        if env not in names:
            yield policy, env, None
        else:
            yield policy, names[env], _run_score(baselines.tasks[names[env]], trajectories, run)


def _run_score(task: BaselineTask, trajectories: Sequence[Trajectory], run: StoredRun) -> TaskScore:
    env = trajectories[0].task.env
    found = score(trajectories, run.settings)[env]
    value: float = found.mean
    failed_as_zero: float | None = found.mean_failed_as_zero
    if task.metric is not None:
        if task.metric not in found.extra:
            raise DataError(
                f"the evaluation in {str(run.path)!r} lacks {task.metric!r}",
                f"environment {env!r} does not aggregate it from these attempts",
                "evaluate again with the installed environment",
            )
        value = found.extra[task.metric]
        environment = build(resolve(env, run.settings.get(env)))
        failed_as_zero = _with_zeros(trajectories, environment, task.metric)
    splits = {each.task.split for each in trajectories} - {"test"}
    # An environment plays the benchmark's own tasks where its setting `data` points at them.
    stand_in = not run.settings.get(env, {}).get("data")
    return TaskScore(
        score=value * _PERCENT,
        failed_as_zero=None if failed_as_zero is None else failed_as_zero * _PERCENT,
        n=found.n,
        failed=found.failed,
        stand_in=stand_in,
        source=str(run.path),
        notes=(
            *_notes(task, len({each.task.id for each in trajectories}), stand_in),
            *(f"tasks of the {split} split" for split in sorted(splits)),
        ),
    )


def _with_zeros(trajectories: Sequence[Trajectory], environment: Environment, metric: str) -> float | None:
    """A benchmark's aggregate with lost attempts as 0; None where one does not tell its part of it."""
    if any(each.reward is None and not each.metrics for each in trajectories):
        return None
    metrics = [
        each.metrics if each.reward is not None else dict.fromkeys(each.metrics, 0.0) for each in trajectories
    ]
    return environment.summarize(metrics).get(metric)


def _notes(task: BaselineTask, num_tasks: int, stand_in: bool) -> list[str]:
    notes = [f"a stand-in plays {task.title}'s part: other tasks than the benchmark's"] if stand_in else []
    if task.size is not None and num_tasks != task.size:
        notes.append(f"{num_tasks:,} tasks, {task.title} has {task.size:,}")
    return notes


def _judged(name: str, entry: Mapping[str, Any]) -> list[str]:
    """What a judge adds: its ratings depend on who judges, and on prompts that are agentray's own."""
    if name != "mtbench":
        return []
    notes = ["rated with agentray's own prompts, by a judge of your choice"]
    unjudged = entry.get("unjudged")
    return (
        [*notes, f"{unjudged:,} answers that no judge rated"] if _is_number(unjudged) and unjudged else notes
    )


def _suite_scores(path: Path, baselines: Baselines) -> Iterator[tuple[str, str, TaskScore | None]]:
    policy, tasks = _suite(path)
    for name, entry in tasks.items():
        if name not in baselines.tasks:
            yield policy, name, None
        elif isinstance(entry, Mapping) and "score" in entry and entry["score"] is None:
            continue  # not scored, so missing from its group
        else:
            yield policy, name, _suite_score(baselines.tasks[name], name, entry, path)


def _suite(path: Path) -> tuple[str, Mapping[str, Any]]:
    """Policy and tasks of a suite's results."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, f"it is no JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("tasks"), dict) or not document["tasks"]:
        raise _unreadable(path, "it has no table `tasks`")
    if not isinstance(document.get("policy"), str) or not document["policy"]:
        raise _unreadable(path, "it does not name its `policy`")
    return document["policy"], document["tasks"]


def _suite_score(task: BaselineTask, name: str, entry: Any, path: Path) -> TaskScore:
    if not isinstance(entry, dict):
        raise _unreadable(path, f"task {name!r} is {entry!r}, no table")
    value: Any = entry.get("score")
    low, high = task.limits
    if not _is_number(value) or not low <= value <= high:
        raise _unreadable(path, f"the score of {name!r} is {value!r}, no number from {low:g} to {high:g}")
    n: Any = entry.get("n")
    failed: Any = entry.get("failed", 0)
    for key, number, least in (("n", n, 1), ("failed", failed, 0)):
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise _unreadable(path, f"`{key}` of {name!r} is {number!r}, no count from {least}")
    stand_in = bool(entry.get("stand_in", True))
    return TaskScore(
        score=float(value),
        failed_as_zero=value * n / (n + failed),
        n=n,
        failed=failed,
        stand_in=stand_in,
        source=str(path.parent),
        notes=(*_notes(task, n + failed, stand_in), *_judged(name, entry)),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"{str(path)!r} holds no suite's results", why, "run the suite again, or correct the file"
    )
