"""The Overall of each group of tasks from what was measured, and whether it may be compared.

agentray overall runs/database runs/alfworld runs/general
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentray.errors import DataError
from agentray.overall.baselines import GROUPS, TITLES, Baselines, Group, Overall, overall
from agentray.overall.scores import TaskScore, read


@dataclass(frozen=True, slots=True)
class TaskResult:
    """A measured score beside the baselines'."""

    measured: TaskScore
    baseline: float
    """Mean score of the baselines."""
    ratio: float
    """Score / baseline mean: what the Overall is the mean of."""


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One policy in one group of tasks."""

    title: str
    """Held-in scores are in-distribution: training has the same kind of tasks."""
    overall: float | None
    """As the original harnesses count, without infrastructure failures; None: tasks are missing."""
    failed_as_zero: float | None
    """With those failures counted as 0; None also where the record does not tell."""
    tasks: Mapping[str, TaskResult]
    missing: tuple[str, ...]
    """Tasks of the group without a score: where there are any, a partial Overall is over `tasks` alone."""
    comparable: bool
    """Whether it may be put beside the published ones: all tasks, all the benchmarks' own and complete."""
    notes: tuple[str, ...]
    """Why not."""


@dataclass(frozen=True, slots=True)
class Results:
    """Every policy's Overall by group; groups are never averaged together."""

    baselines: str
    """Version of the baselines."""
    policies: Mapping[str, Mapping[Group, GroupResult]]
    """A group is absent where none of its tasks was measured."""
    left_out: tuple[str, ...]
    """What has no place in the table."""


def measure(directories: Sequence[Path], baselines: Baselines, *, partial: bool = False) -> Results:
    """Overall of all policies that the directories hold scores of.

    Args:
        directories: Evaluation runs, and directories with a general suite's results.
        baselines: What scores are measured against.
        partial: Whether to give an Overall over the tasks that are there where some are missing.

    Raises:
        UsageError: A directory is missing or neither a finished run nor a suite, none holds a task of the
            table, or two hold the same task of one policy.
        DataError: What is stored cannot be read, or every group lacks a task and `partial` is not set.
    """
    found = read(directories, baselines)
    policies = {policy: _groups(scores, baselines, partial) for policy, scores in found.policies.items()}
    if all(group.overall is None for groups in policies.values() for group in groups.values()):
        lacking = "; ".join(
            f"{group} of {policy!r} lacks {', '.join(each.missing)}"
            for policy, groups in policies.items()
            for group, each in groups.items()
        )
        raise DataError(
            "no group has an Overall",
            lacking,
            "evaluate these tasks too, or ask for the Overall of those that are there with --partial",
        )
    return Results(baselines.version, policies, found.left_out)


def _groups(scores: Mapping[str, TaskScore], baselines: Baselines, partial: bool) -> dict[Group, GroupResult]:
    measured = {group: [name for name in baselines.group(group) if name in scores] for group in GROUPS}
    return {
        group: _group(group, {name: scores[name] for name in names}, baselines, partial)
        for group, names in measured.items()
        if names
    }


def _group(group: Group, scores: Mapping[str, TaskScore], baselines: Baselines, partial: bool) -> GroupResult:
    missing = tuple(name for name in baselines.group(group) if name not in scores)
    as_counted = {name: each.score for name, each in scores.items()}
    with_zeros = {
        name: each.failed_as_zero for name, each in scores.items() if each.failed_as_zero is not None
    }
    value: Overall | None = None
    zeros: Overall | None = None
    if partial or not missing:
        value = overall(as_counted, group, baselines, partial=partial)
        zeros = (
            overall(with_zeros, group, baselines, partial=partial) if len(with_zeros) == len(scores) else None
        )
    notes = [f"{name}: {note}" for name, each in scores.items() for note in each.notes]
    if missing:
        scope = "partial, over these tasks alone" if partial else "refused"
        notes.insert(0, f"{scope}: no score of {', '.join(missing)}")
    return GroupResult(
        title=TITLES[group],
        overall=None if value is None else value.value,
        failed_as_zero=None if zeros is None else zeros.value,
        tasks={
            name: TaskResult(each, baselines.mean(name), each.score / baselines.mean(name))
            for name, each in scores.items()
        },
        missing=missing,
        comparable=not notes,
        notes=tuple(notes),
    )
