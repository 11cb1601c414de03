"""The score of a policy in an environment: mean reward, its interval, and the benchmark's own aggregates."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from agentray import manifest
from agentray.data.stored import settings_of
from agentray.env import TextEnvironment, build, resolve
from agentray.errors import DataError
from agentray.evaluate.outcomes import Outcome, by_environment, read_outcomes
from agentray.evaluate.stats import mean_interval
from agentray.types import Family

FILE = "scores.json"
"""What `agentray evaluate` writes beside the trajectories."""
FEW = 10
"""A category of fewer scored attempts is marked."""


@dataclass(frozen=True)
class Score:
    """How a policy did in one environment."""

    mean: float
    """Mean reward over scored attempts, as the original harness counts: without infrastructure failures."""
    mean_failed_as_zero: float
    """The same with those failures counted as reward 0."""
    n: int
    """Attempts that were scored."""
    failed: int
    """Attempts that an infrastructure failure ended."""
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
    tasks: int = 0
    """Tasks that were attempted."""
    splits: Sequence[str] = ()
    """Splits that the tasks are of."""
    extra_failed_as_zero: Mapping[str, float] | None = None
    """`extra` with failures counted as 0; None where one does not tell its part of it."""


@dataclass(frozen=True)
class Scores:
    """What a directory says of how policies did."""

    directory: Path
    policies: Mapping[str, Mapping[str, Score]]
    """By policy and environment id."""
    settings: Mapping[str, Mapping[str, object]]
    """Settings by environment id."""


def score(
    outcomes: Iterable[Outcome], environments: Mapping[str, TextEnvironment] | None = None
) -> dict[str, Score]:
    """Scores by environment id.

    Args:
        outcomes: Attempts of one policy.
        environments: Their environments by id; one that is not here is built with its default settings.

    Raises:
        DataError: An environment has no scored attempt.
    """
    known = environments or {}
    return {
        name: _score(attempts, known.get(name) or build(resolve(name)))
        for name, attempts in by_environment(outcomes).items()
    }


def task_rewards(outcomes: Iterable[Outcome]) -> list[float]:
    """Mean reward of each task over its scored attempts, in the order in which the tasks first appear."""
    rewards: dict[str, list[float]] = defaultdict(list)
    for each in outcomes:
        if each.reward is not None:
            rewards[each.task].append(each.reward)
    return [sum(each) / len(each) for each in rewards.values()]


def read_scores(directory: Path) -> Scores:
    """Scores of a finished run: those that its evaluation wrote, else computed from its attempts.

    Raises:
        UsageError: The directory does not exist, is not a run or is not complete, or an environment is not
            installed.
        DataError: It holds no attempt, none that was scored, or a file that cannot be read.
    """
    document = manifest.read(directory)
    if document.stage == "evaluate" and (directory / FILE).is_file():
        policy, scores = _stored(directory / FILE)
        return Scores(directory, {policy: scores}, settings_of(directory))
    outcomes = read_outcomes(directory)
    environments = outcomes.environments()
    by_policy: dict[str, list[Outcome]] = {}
    for each in outcomes.attempts:
        by_policy.setdefault(each.policy, []).append(each)
    found = {policy: score(attempts, environments) for policy, attempts in by_policy.items()}
    return Scores(directory, found, outcomes.settings)


def write_scores(directory: Path, policy: str, scores: Mapping[str, Score]) -> None:
    """Write `scores.json`, which `read_scores` reads."""
    document = {"policy": policy, "scores": {name: asdict(each) for name, each in scores.items()}}
    manifest.write_json(directory / FILE, document)


def _stored(path: Path) -> tuple[str, dict[str, Score]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return str(document["policy"]), TypeAdapter(dict[str, Score]).validate_python(document["scores"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise DataError(
            f"cannot read {str(path)!r}", " ".join(str(error).split()), "evaluate into that directory again"
        ) from error


def _score(attempts: Sequence[Outcome], environment: TextEnvironment) -> Score:
    scored = [each for each in attempts if each.reward is not None]
    rewards = [each.reward for each in scored if each.reward is not None]
    if not rewards:
        raise DataError(
            f"no attempt in {attempts[0].env!r} could be scored",
            f"all {len(attempts)} failed, the first with: {attempts[0].error}",
            "correct the cause and evaluate again",
        )
    interval = mean_interval(task_rewards(scored))
    categories = _categories(scored)
    return Score(
        mean=sum(rewards) / len(rewards),
        mean_failed_as_zero=sum(rewards) / len(attempts),
        n=len(rewards),
        failed=len(attempts) - len(rewards),
        truncated=sum(each.status == "truncated" for each in scored),
        interval=(interval.low, interval.high),
        family=environment.family,
        extra=environment.summarize([each.metrics for each in scored]),
        n_by_category=categories,
        few=[category for category, count in categories.items() if count < FEW],
        tasks=len({each.task for each in attempts}),
        splits=sorted({each.split for each in attempts}),
        extra_failed_as_zero=_with_zeros(attempts, environment),
    )


def _categories(scored: Iterable[Outcome]) -> dict[str, int]:
    """Attempts of each category: an attempt at one of category `x` has the metric `success_x`."""
    names = Counter(name for each in scored for name in each.metrics if name.startswith("success_"))
    return {name.removeprefix("success_"): count for name, count in sorted(names.items())}


def _with_zeros(attempts: Sequence[Outcome], environment: TextEnvironment) -> dict[str, float] | None:
    if any(each.reward is None and not each.metrics for each in attempts):
        return None
    metrics = [
        each.metrics if each.reward is not None else dict.fromkeys(each.metrics, 0.0) for each in attempts
    ]
    return dict(environment.summarize(metrics))
