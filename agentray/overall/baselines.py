"""The Overall score of a group of tasks: the mean over its tasks of score / mean score of five baselines.

    agentray overall --published

Held-in, held-out and general tasks have an Overall each and are never averaged together. The baselines'
scores are data (`baselines.toml`) with a version, which every result names: with other baselines it would be
another number.

Source: AgentTuning, arXiv 2310.12823; the baseline means are used unrounded, which reproduces all 24 printed
cells.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from agentray.errors import DataError, UsageError, closest

Group = Literal["held_in", "held_out", "general"]
GROUPS: tuple[Group, ...] = get_args(Group)
TITLES: Mapping[Group, str] = {
    "held_in": "held-in (in-distribution)",
    "held_out": "held-out",
    "general": "general",
}


@dataclass(frozen=True, slots=True)
class BaselineTask:
    """One task of the table."""

    title: str
    group: Group
    scores: Mapping[str, float]
    """Published score by model, on the benchmark's scale."""
    environment: str
    """Id of the agentray environment that measures it."""
    metric: str | None
    """Aggregate of `Environment.summarize` that the benchmark reports; None: the mean reward."""
    size: int | None
    """Tasks of the benchmark's test set; None where not known."""
    limits: tuple[float, float]
    """Least and greatest score."""
    own_tasks: str | None
    """Setting that gives the environment the benchmark's own tasks, where it would generate them."""


@dataclass(frozen=True, slots=True)
class Baselines:
    """The table that an Overall is measured against."""

    version: str
    source: str
    models: tuple[str, ...]
    """All models of the table."""
    baselines: tuple[str, ...]
    """Those whose mean is the unit."""
    tasks: Mapping[str, BaselineTask]
    published: Mapping[Group, Mapping[str, float]]
    """Overall as printed, by model."""

    def mean(self, task: str) -> float:
        """Mean score of the baselines in a task, unrounded.

        Raises:
            DataError: It is 0, so that nothing can be measured by it.
        """
        scores = self.tasks[task].scores
        mean = math.fsum(scores[model] for model in self.baselines) / len(self.baselines)
        if mean == 0:
            raise DataError(
                f"the Overall of task {task!r} is undefined",
                f"all baselines of {self.version!r} score 0 in it",
                "use baselines of which one scores",
            )
        return mean

    def group(self, group: Group) -> list[str]:
        """Tasks of a group, in the order of the table."""
        return [name for name, task in self.tasks.items() if task.group == group]


@dataclass(frozen=True, slots=True)
class Overall:
    """The Overall of one group, and what it was made of."""

    group: Group
    value: float
    ratios: Mapping[str, float]
    """Score / baseline mean, by task."""
    missing: tuple[str, ...]
    """Tasks of the group without a score; not empty only where a partial Overall was asked for."""
    baselines: str
    """Version of the baselines."""


def overall(
    scores: Mapping[str, float], group: Group, baselines: Baselines, *, partial: bool = False
) -> Overall:
    """Overall of one group.

    Args:
        scores: Score by task, on the benchmark's scale; tasks of other groups are not looked at.
        group: The group.
        baselines: What scores are measured against.
        partial: Whether an Overall over the tasks that are there is wanted where some are missing.

    Raises:
        DataError: A task is missing and `partial` is not set, none is there, or a baseline mean is 0.
    """
    names = baselines.group(group)
    present, missing = [n for n in names if n in scores], [n for n in names if n not in scores]
    if not present or (missing and not partial):
        raise DataError(
            f"no Overall of the {group} tasks",
            f"no score of {', '.join(missing)}",
            "evaluate them too" + (", or ask for a partial Overall with --partial" if present else ""),
        )
    ratios = {name: scores[name] / baselines.mean(name) for name in present}
    return Overall(group, math.fsum(ratios.values()) / len(ratios), ratios, tuple(missing), baselines.version)


@dataclass(frozen=True, slots=True)
class Published:
    """Overall of the paper's models: recomputed from the table, and as printed."""

    baselines: str
    source: str
    models: Mapping[str, Mapping[Group, Mapping[str, float]]] = field(default_factory=dict)
    """`recomputed` and `published`, by model and group."""


def published(baselines: Baselines, models: Sequence[str] = ()) -> Published:
    """Recompute the Overall of the paper's models.

    Args:
        baselines: The table.
        models: Which of its models; none means all.

    Raises:
        UsageError: The table has no such model.
    """
    for model in models:
        if model not in baselines.models:
            raise UsageError(
                f"unknown model {model!r}",
                closest(model, baselines.models),
                "agentray overall --published lists them all",
            )
    rows = {model: _cells(baselines, model) for model in models or baselines.models}
    return Published(baselines.version, baselines.source, rows)


def _cells(baselines: Baselines, model: str) -> dict[Group, dict[str, float]]:
    scores = {name: task.scores[model] for name, task in baselines.tasks.items()}
    return {
        group: {
            "recomputed": overall(scores, group, baselines).value,
            "published": baselines.published[group][model],
        }
        for group in GROUPS
    }


@cache
def load() -> Baselines:
    """The baselines that agentray comes with."""
    text = files("agentray.overall").joinpath("baselines.toml").read_text(encoding="utf-8")
    return parse(tomllib.loads(text))


def parse(document: Mapping[str, Any]) -> Baselines:
    """Baselines from a document like `baselines.toml`.

    Raises:
        DataError: A row does not have one number per model, or a baseline is not a model of the table.
    """
    models = tuple(document["models"])
    unknown = [name for name in document["baselines"] if name not in models]
    if unknown:
        raise DataError(
            f"baseline {unknown[0]!r} is not in the table",
            closest(unknown[0], models),
            "correct its name",
        )

    def row(name: str, numbers: Sequence[float]) -> dict[str, float]:
        if len(numbers) != len(models):
            raise DataError(
                f"row {name!r} of the baselines has {len(numbers)} numbers",
                f"the table has {len(models)} models",
                "give one number per model",
            )
        return dict(zip(models, numbers, strict=True))

    tasks = {
        name: BaselineTask(
            title=task["title"],
            group=task["group"],
            scores=row(name, task["scores"]),
            environment=task.get("environment", name),
            metric=task.get("metric"),
            size=task.get("size"),
            limits=tuple(task.get("limits", (0, 100))),
            own_tasks=task.get("own_tasks"),
        )
        for name, task in document["tasks"].items()
    }
    cells: dict[Group, dict[str, float]] = {
        group: row(group, document["published"][group]) for group in GROUPS
    }
    return Baselines(
        document["version"], document["source"], models, tuple(document["baselines"]), tasks, cells
    )
