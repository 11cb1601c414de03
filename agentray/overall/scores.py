"""Scores of our own models on the tasks of the table, from evaluations and from a general suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentray.errors import DataError, UsageError, closest
from agentray.evaluate.score import Score, read_scores
from agentray.overall.baselines import Baselines, BaselineTask
from agentray.overall.suite import SUITE, SuiteTask, read_suite

_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One policy's score in one task, on the benchmark's scale."""

    score: float
    """As the original harness counts: without attempts that an infrastructure failure ended."""
    failed_as_zero: float | None
    """The same with those attempts counted as 0; None where the record does not tell."""
    n: int
    """Scored attempts or items."""
    failed: int
    """Attempts or items that an infrastructure failure ended."""
    synthetic: bool
    """Whether its tasks were generated instead of the benchmark's own."""
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
        UsageError: A directory is missing or neither a finished run nor a suite, none holds a task of the
            table, or two hold the same task of one policy.
        DataError: What is stored cannot be read, or is not a score.
    """
    policies: dict[str, dict[str, TaskScore]] = {}
    not_in_table = []
    for directory in directories:
        for policy, name, found in _scores(directory, baselines):
            if found is None:
                not_in_table.append(f"{directory}: {name}")
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
        unknown = not_in_table[0].rpartition(": ")[2] if not_in_table else ""
        raise UsageError(
            "none of these directories holds a score of a task in the table",
            f"{'; '.join(not_in_table) or 'nothing in them was scored'}; {closest(unknown, known)}",
            "give evaluation runs of these environments, or a directory with a suite.json",
        )
    return Measured(policies, tuple(not_in_table))


def _scores(directory: Path, baselines: Baselines) -> Iterator[tuple[str, str, TaskScore | None]]:
    """Policy, task and score; a score of None, and the environment's id, for what is not in the table."""
    if (directory / SUITE).is_file():
        suite = read_suite(directory)
        for name, entry in suite.tasks.items():
            lm_evals = entry.scale.endswith("is better")  # its task of that name, not the paper's settings
            if lm_evals or name not in baselines.tasks:
                yield suite.policy, name, None
            elif entry.score is not None:
                yield suite.policy, name, _of_suite(baselines.tasks[name], name, entry, directory)
        return
    names = {task.environment: name for name, task in baselines.tasks.items()}
    found = read_scores(directory)
    for policy, scores in found.policies.items():
        for env, score in scores.items():
            if env not in names:
                yield policy, env, None
            else:
                task = baselines.tasks[names[env]]
                yield policy, names[env], _of_run(task, score, found.settings.get(env, {}), directory)


def _of_run(task: BaselineTask, found: Score, settings: Mapping[str, object], directory: Path) -> TaskScore:
    value = found.mean
    failed_as_zero: float | None = found.mean_failed_as_zero
    if task.metric is not None:
        if task.metric not in found.extra:
            raise DataError(
                f"the evaluation in {str(directory)!r} lacks {task.metric!r}",
                f"environment {task.environment!r} does not aggregate it from these attempts",
                "evaluate again with the installed environment",
            )
        value = found.extra[task.metric]
        failed_as_zero = (found.extra_failed_as_zero or {}).get(task.metric)
    synthetic = task.own_tasks is not None and not settings.get(task.own_tasks)
    splits = (f"tasks of the {split} split" for split in found.splits if split != "test")
    return TaskScore(
        score=value * _PERCENT,
        failed_as_zero=None if failed_as_zero is None else failed_as_zero * _PERCENT,
        n=found.n,
        failed=found.failed,
        synthetic=synthetic,
        source=str(directory),
        notes=(*_notes(task, found.tasks, synthetic), *splits),
    )


def _of_suite(task: BaselineTask, name: str, entry: SuiteTask, directory: Path) -> TaskScore:
    value, n, (low, high) = float(entry.score or 0.0), entry.n, task.limits
    if not low <= value <= high or n < 1:
        why = f"{value:g} over {n} questions; a score is from {low:g} to {high:g}, over at least one"
        raise DataError(
            f"the score of {name!r} in {str(directory / SUITE)!r} is impossible",
            why,
            "run the suite again, or correct the file",
        )
    return TaskScore(
        score=value,
        failed_as_zero=value * n / (n + entry.failed),
        n=n,
        failed=entry.failed,
        synthetic=entry.synthetic,
        source=str(directory),
        notes=(*_notes(task, n + entry.failed, entry.synthetic), *_judged(name, entry)),
    )


def _notes(task: BaselineTask, num_tasks: int, synthetic: bool) -> list[str]:
    notes = [f"synthetic tasks, not {task.title}'s own"] if synthetic else []
    if task.size is not None and num_tasks != task.size:
        notes.append(f"{num_tasks:,} tasks, {task.title} has {task.size:,}")
    return notes


def _judged(name: str, entry: SuiteTask) -> list[str]:
    """What a judge adds: its ratings depend on who judges, and on prompts that are agentray's own."""
    if name != "mtbench":
        return []
    notes = ["rated with agentray's own prompts, by a judge of your choice"]
    return [*notes, f"{entry.unjudged:,} answers that no judge rated"] if entry.unjudged else notes
