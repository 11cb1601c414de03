"""Two policies on the same attempts: paired scores by environment, with intervals and a test.

Several attempts at one task are not independent, so the statistics are over tasks, each with the mean of its
attempts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentray.errors import DataError
from agentray.evaluate.power import detectable
from agentray.evaluate.run import Score, score, task_rewards
from agentray.evaluate.stats import difference_interval, mcnemar, paired_permutation
from agentray.types import Trajectory


def compare(
    before: Sequence[Trajectory],
    after: Sequence[Trajectory],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Scores before and after by environment, over the attempts that both policies were scored on.

    Raises:
        DataError: There is no such attempt.
    """
    first, second = _by_attempt(before), _by_attempt(after)
    both = sorted(first.keys() & second.keys())
    if not both:
        raise DataError(
            "the two evaluations have no scored attempt in common",
            f"{len(first)} attempts before, {len(second)} after",
            "evaluate both on the same split, tasks and seed",
        )
    scores_before = score([first[key] for key in both], settings)
    scores_after = score([second[key] for key in both], settings)
    compared = {}
    for env in scores_before:
        keys = [key for key in both if key[0] == env]
        pairs = task_rewards([first[key] for key in keys]), task_rewards([second[key] for key in keys])
        compared[env] = _row(scores_before[env], scores_after[env], *pairs)
        if settings and env in settings:
            compared[env]["settings"] = dict(settings[env])
    return compared


def left_out(before: Sequence[Trajectory], after: Sequence[Trajectory]) -> dict[str, dict[str, int]]:
    """By environment: attempts that one side was scored on and the other was not, and so are not compared."""
    first, second = _by_attempt(before), _by_attempt(after)
    sides = {"before": first.keys() - second.keys(), "after": second.keys() - first.keys()}
    environments = sorted({key[0] for keys in sides.values() for key in keys})
    return {
        env: {side: sum(key[0] == env for key in keys) for side, keys in sides.items()}
        for env in environments
    }


def alone(
    trajectories: Sequence[Trajectory], settings: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Scores of one policy by environment; an environment without a scored attempt has none."""
    scored = {each.task.env for each in trajectories if each.reward is not None}
    found = score([each for each in trajectories if each.task.env in scored], settings)
    return {
        env: {
            "score": each.mean,
            "interval": list(each.interval),
            "n": each.n,
            "failed": each.failed,
            "family": each.family,
            "extra": {"score": dict(each.extra)},
            **_categories(each),
        }
        for env, each in found.items()
    }


def _by_attempt(trajectories: Iterable[Trajectory]) -> dict[tuple[str, str, int], Trajectory]:
    """Scored attempts by what pairs them: environment, task content and sample."""
    return {
        (each.task.env, each.task.fingerprint + each.task.id, each.sample): each
        for each in trajectories
        if each.reward is not None
    }


def _row(before: Score, after: Score, rewards: list[float], tuned: list[float]) -> dict[str, Any]:
    binary = all(reward in (0.0, 1.0) for reward in [*rewards, *tuned])
    test = mcnemar if binary else paired_permutation
    difference = difference_interval(rewards, tuned)
    return {
        "before": before.mean,
        "after": after.mean,
        "n": before.n,
        "tasks": len(rewards),
        "before_interval": list(before.interval),
        "after_interval": list(after.interval),
        "p_value": test(rewards, tuned),
        "test": "exact McNemar" if binary else "paired permutation",
        "difference_interval": [difference.low, difference.high],
        "detectable": detectable(rewards, tuned),
        "family": before.family,
        "extra": {"before": dict(before.extra), "after": dict(after.extra)},
        **_categories(before),
    }


def _categories(found: Score) -> dict[str, Any]:
    """Attempts of each category, and which are few; nothing where there are no categories."""
    if not found.n_by_category:
        return {}
    return {"n_by_category": dict(found.n_by_category), "few": list(found.few)}
