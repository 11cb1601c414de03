"""The evaluate stage: rollouts on a test split, greedy, and scores with their uncertainty.

agentray evaluate --env database --split test --num-tasks 100 --policy expert
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentray.config import EvaluateConfig, RolloutConfig
from agentray.data.store import read_run
from agentray.env import build, resolve
from agentray.errors import DataError, without_secrets
from agentray.evaluate.stats import mean_interval
from agentray.rollout.plan import is_planned
from agentray.rollout.run import run as rollout
from agentray.types import Family, Progress, Trajectory, silent

FEW = 10
"""A category of fewer scored attempts is marked."""


@dataclass(frozen=True)
class Score:
    """How a policy did in one environment."""

    mean: float
    """Mean reward over scored attempts, as the original harness counts: without failures of the machinery."""
    mean_failed_as_zero: float
    """The same with those failures counted as reward 0."""
    n: int
    """Attempts that were scored."""
    failed: int
    """Attempts that the machinery lost."""
    truncated: int
    """Scored attempts that a limit ended."""
    interval: tuple[float, float]
    """95 % confidence interval of `mean`, over tasks: attempts at one task are not independent."""
    family: Family
    """`held_in` scores are in-distribution: the training split has the same kind of tasks."""
    extra: Mapping[str, float]
    """The benchmark's own aggregates."""
    n_by_category: Mapping[str, int] = field(default_factory=dict)
    """Scored attempts of each category, where the benchmark has categories."""
    few: Sequence[str] = ()
    """Categories of fewer than `FEW` attempts: their accuracies say little."""


@dataclass(frozen=True)
class EvaluateSummary:
    """Scores of one policy."""

    policy: str
    split: str
    scores: Mapping[str, Score]
    out: str | None
    wall_s: float
    num_turns: int
    completion_tokens: int
    failed_by_reason: Mapping[str, int]
    """Why attempts failed, and how many."""
    answered_by: Sequence[Mapping[str, str | None]]
    """Model, address and version of everyone who answered."""
    adapted: Mapping[str, Sequence[str]]
    """By endpoint, what it is asked differently because it refused the usual way."""


def run(config: EvaluateConfig, progress: Progress = silent) -> EvaluateSummary:
    """Score a policy.

    Raises:
        UsageError: An environment, policy or data file is unknown.
        PolicyError: The policy cannot act.
        DataError: No attempt of an environment could be scored.
    """
    with tempfile.TemporaryDirectory(prefix="agentray-evaluate-") as temporary:
        out = config.out or Path(temporary)
        plan = RolloutConfig(**config.model_dump(exclude={"out"}), out=out)
        done = rollout(plan, progress)
        stored = read_run(out).trajectories
    return EvaluateSummary(
        policy=without_secrets(config.policy),
        split=config.split,
        scores=score([each for each in stored if is_planned(plan, each.sample, each.seed)], config.env),
        out=str(config.out) if config.out else None,
        wall_s=done.wall_s,
        num_turns=done.num_turns,
        completion_tokens=done.completion_tokens,
        failed_by_reason=done.failed_by_reason,
        answered_by=done.answered_by,
        adapted=done.adapted,
    )


def score(
    trajectories: Sequence[Trajectory], settings: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Score]:
    """Scores by environment.

    Args:
        trajectories: Attempts of one policy.
        settings: Environment settings, by environment id.

    Raises:
        DataError: An environment has no scored attempt.
    """
    names = sorted({each.task.env for each in trajectories})
    return {
        name: _score(
            [each for each in trajectories if each.task.env == name], dict((settings or {}).get(name, {}))
        )
        for name in names
    }


def task_rewards(trajectories: Sequence[Trajectory]) -> list[float]:
    """Mean reward of each task over its scored attempts, in the order in which the tasks first appear."""
    rewards: dict[str, list[float]] = defaultdict(list)
    for each in trajectories:
        if each.reward is not None:
            rewards[each.task.fingerprint + each.task.id].append(each.reward)
    return [sum(each) / len(each) for each in rewards.values()]


def _score(trajectories: Sequence[Trajectory], settings: Mapping[str, Any]) -> Score:
    name = trajectories[0].task.env
    rewards = [each.reward for each in trajectories if each.reward is not None]
    failed = len(trajectories) - len(rewards)
    if not rewards:
        raise DataError(
            f"no attempt in {name!r} could be scored",
            f"all {failed} failed, the first with: {trajectories[0].error}",
            "correct the cause and evaluate again",
        )
    environment = build(resolve(name, settings))
    scored = [each for each in trajectories if each.reward is not None]
    interval = mean_interval(task_rewards(scored))
    categories = _by_category(each.metrics for each in scored)
    return Score(
        mean=sum(rewards) / len(rewards),
        mean_failed_as_zero=sum(rewards) / len(trajectories),
        n=len(rewards),
        failed=failed,
        truncated=sum(each.status == "truncated" for each in scored),
        interval=(interval.low, interval.high),
        family=environment.family,
        extra=environment.summarize([each.metrics for each in scored]),
        n_by_category=categories,
        few=[category for category, count in categories.items() if count < FEW],
    )


def _by_category(metrics: Iterable[Mapping[str, float]]) -> dict[str, int]:
    """Attempts of each category: an attempt at one of category `x` has the metric `success_x`."""
    names = Counter(name for each in metrics for name in each if name.startswith("success_"))
    return {name.removeprefix("success_"): count for name, count in sorted(names.items())}
