"""Two policies on the same attempts: paired scores by environment, with intervals and a test.

Several attempts at one task are not independent, so the statistics are over tasks, each with the mean of its
attempts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentray.errors import DataError
from agentray.evaluate.outcomes import Outcome, Outcomes, by_environment
from agentray.evaluate.power import detectable
from agentray.evaluate.score import Score, score, task_rewards
from agentray.evaluate.stats import difference_interval, mcnemar, paired_permutation
from agentray.types import Family

Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Two policies in one environment, over the attempts that both were scored on."""

    before: float
    after: float
    n: int
    """Attempts that were compared."""
    tasks: int
    """Tasks that they were made at."""
    before_interval: Interval
    after_interval: Interval
    p_value: float
    test: str
    """Name of the test."""
    difference_interval: Interval
    detectable: float | None
    """Smallest difference that so many tasks find; None where nothing can be found."""
    family: Family
    extra: Mapping[str, Mapping[str, float]]
    """The benchmark's own aggregates, `before` and `after`."""
    n_by_category: Mapping[str, int]
    few: Sequence[str]
    """Categories of few attempts."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The environment's settings, where it has any."""


def compare(before: Outcomes, after: Outcomes) -> dict[str, Comparison]:
    """Scores before and after by environment, over the attempts that both policies were scored on.

    Raises:
        DataError: There is no such attempt.
    """
    first, second = _by_attempt(before.attempts), _by_attempt(after.attempts)
    both = sorted(first.keys() & second.keys())
    if not both:
        raise DataError(
            "the two evaluations have no scored attempt in common",
            f"{len(first)} attempts before, {len(second)} after",
            "evaluate both on the same split, tasks and seed",
        )
    environments = {**before.environments(), **after.environments()}
    settings = {**before.settings, **after.settings}
    compared = {}
    for env, attempts in by_environment(first[key] for key in both).items():
        others = [second[_key(each)] for each in attempts]
        scores = score(attempts, environments)[env], score(others, environments)[env]
        rewards = task_rewards(attempts), task_rewards(others)
        compared[env] = _comparison(*scores, *rewards, settings.get(env) or {})
    return compared


def not_compared(before: Iterable[Outcome], after: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    """By environment: attempts that only one side was scored on, `before` and `after`."""
    first, second = _by_attempt(before), _by_attempt(after)
    sides = {"before": first.keys() - second.keys(), "after": second.keys() - first.keys()}
    return {
        env: {side: sum(key[0] == env for key in keys) for side, keys in sides.items()}
        for env in sorted({key[0] for keys in sides.values() for key in keys})
    }


def _key(each: Outcome) -> tuple[str, str, int]:
    """What pairs attempts: environment, task and sample."""
    return each.env, each.task, each.sample


def _by_attempt(outcomes: Iterable[Outcome]) -> dict[tuple[str, str, int], Outcome]:
    return {_key(each): each for each in outcomes if each.reward is not None}


def _comparison(
    before: Score, after: Score, rewards: list[float], others: list[float], settings: Mapping[str, Any]
) -> Comparison:
    binary = all(reward in (0.0, 1.0) for reward in [*rewards, *others])
    difference = difference_interval(rewards, others)
    return Comparison(
        before=before.mean,
        after=after.mean,
        n=before.n,
        tasks=len(rewards),
        before_interval=before.interval,
        after_interval=after.interval,
        p_value=(mcnemar if binary else paired_permutation)(rewards, others),
        test="exact McNemar" if binary else "paired permutation",
        difference_interval=(difference.low, difference.high),
        detectable=detectable(rewards, others),
        family=before.family,
        extra={"before": dict(before.extra), "after": dict(after.extra)},
        n_by_category=before.n_by_category,
        few=before.few,
        settings=settings,
    )
