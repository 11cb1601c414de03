"""How sure a score is: intervals for one model's mean, p-values for two models on the same tasks.

Two evaluations with equal seeds play the same episodes, so the tests here are paired. Pure functions of their
arguments; whatever is random takes a seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 10_000
_BLOCK_ITEMS = 1_000_000
"""Random draws held in memory at once."""
_MANY = 20_000
"""With more tasks, means are normal to the digits that are shown, and resampling would take minutes."""
_EXACT_PAIRS = 12
"""Up to this many unequal pairs, all 2^n sign patterns are enumerated instead of drawn."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the interval that covers the true one with the asked confidence."""

    mean: float
    low: float
    high: float


def mean_interval(scores: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """Mean of per-task scores with its confidence interval.

    Scores that are all 0 or 1 get the Wilson interval of a proportion, which stays inside [0, 1] and keeps a
    sensible width at 0 of n and n of n. Any other scores get the percentile bootstrap over 10,000 resamples,
    more than 20,000 the normal interval; it has no width when all scores are equal, and one score gives
    an interval of that score alone.

    Args:
        scores: One finite number per task, in any order; at least one.
        confidence: Coverage asked for, strictly between 0 and 1.
        seed: Seed of the bootstrap; the Wilson interval does not use it.

    Raises:
        ValueError: `scores` is empty or not finite, or `confidence` is out of range.

    Source: Wilson 1927, JASA 22(158):209-212, in the form of Brown, Cai and DasGupta 2001, Statistical
    Science 16(2):101-133, equation 4; Efron and Tibshirani 1993, An Introduction to the Bootstrap,
    section 13.3.
    """
    values = _finite(scores, "scores")
    _check(confidence)
    if bool(np.isin(values, (0.0, 1.0)).all()):
        return _wilson(int(values.sum()), len(values), confidence)
    return _bootstrap(values, confidence, seed)


def bootstrap_interval(scores: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """Mean of per-task scores on any scale, with the percentile bootstrap that `mean_interval` describes.

    Args:
        scores: One finite number per task, in any order; at least one.
        confidence: Coverage asked for, strictly between 0 and 1.
        seed: Seed of the resamples.

    Raises:
        ValueError: `scores` is empty or not finite, or `confidence` is out of range.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    values = _finite(scores, "scores")
    _check(confidence)
    return _bootstrap(values, confidence, seed)


def difference_interval(
    before: Sequence[float], after: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Difference of two models' mean scores on the same tasks, after minus before, with its interval.

    The percentile bootstrap over 10,000 resamples of tasks, which keeps each task's two scores together; the
    normal interval for more than 20,000 tasks. It has no width when all differences are equal.

    Args:
        before: One finite score per task.
        after: One finite score per task, in the order of `before`.
        confidence: Coverage asked for, strictly between 0 and 1.
        seed: Seed of the resamples.

    Raises:
        ValueError: The sequences are empty, differ in length, or are not finite, or `confidence` is out of
            range.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, sections 8.3 and 13.3.
    """
    first, second = _paired(before, after)
    _check(confidence)
    return _bootstrap(second - first, confidence, seed)


def mcnemar(before: Sequence[float], after: Sequence[float]) -> float:
    """Exact two-sided p-value that two models win the same share of the same tasks.

    Only tasks that one model won and the other lost count: under the null hypothesis each such task falls to
    either side with probability 1/2. No such task gives 1.

    Args:
        before: 0 or 1 per task.
        after: 0 or 1 per task, in the order of `before`.

    Returns:
        A probability in [0, 1].

    Raises:
        ValueError: The sequences are empty, differ in length, or hold anything but 0 and 1.

    Source: McNemar 1947, Psychometrika 12(2):153-157, with the exact binomial of Liddell 1976, The
    Statistician 25(4):295-304.
    """
    first, second = _paired(before, after)
    if not bool(np.isin(np.concatenate([first, second]), (0.0, 1.0)).all()):
        raise ValueError("mcnemar takes only 0 and 1; graded scores go to paired_permutation")
    gained = int(np.sum(second > first))
    lost = int(np.sum(second < first))
    discordant = gained + lost
    tail = sum(math.comb(discordant, k) for k in range(min(gained, lost) + 1))
    total: int = 2**discordant
    return min(1.0, 2 * tail / total)


def paired_permutation(before: Sequence[float], after: Sequence[float], seed: int = 0) -> float:
    """Two-sided p-value that two models have equal mean scores on the same tasks.

    Under the null hypothesis the sign of every difference is a fair coin. All sign patterns are enumerated
    when at most 12 pairs differ, else 10,000 are drawn and the observed one is counted among them, so that
    the result is never 0; where more than 20,000 pairs differ, their sum is normal, with the same least
    result.

    Args:
        before: One finite score per task.
        after: One finite score per task, in the order of `before`.
        seed: Seed of the drawn patterns.

    Returns:
        A probability in (0, 1].

    Raises:
        ValueError: The sequences are empty, differ in length, or are not finite.

    Source: Fisher 1935, The Design of Experiments, section 21; Phipson and Smyth 2010, Statistical
    Applications in Genetics and Molecular Biology 9(1):39, for the drawn patterns.
    """
    first, second = _paired(before, after)
    differences = (second - first)[second != first]
    if differences.size == 0:
        return 1.0
    # Sums of the same numbers in another order differ in the last digits and must still count as equal.
    threshold = abs(float(differences.sum())) - 1e-9 * float(np.abs(differences).sum())
    if differences.size <= _EXACT_PAIRS:
        patterns = np.arange(2**differences.size)[:, None] >> np.arange(differences.size) & 1
        sums = (patterns * 2 - 1) @ differences
        return float(np.mean(np.abs(sums) >= threshold))
    if differences.size > _MANY:
        z = float(differences.sum()) / math.sqrt(float(np.square(differences).sum()))
        return max(2 * NormalDist().cdf(-abs(z)), 1 / (1 + _RESAMPLES))
    hits = 0
    generator = np.random.default_rng(seed)
    for count in _blocks(differences.size):
        signs = generator.integers(0, 2, size=(count, differences.size)) * 2 - 1
        hits += int(np.sum(np.abs(signs @ differences) >= threshold))
    return (1 + hits) / (1 + _RESAMPLES)


def _wilson(successes: int, total: int, confidence: float) -> Interval:
    share = successes / total
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    scale = 1 + z * z / total
    center = (share + z * z / (2 * total)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    # At 0 of n and n of n the formula gives the bound exactly; in floating point it misses by a last digit.
    low = 0.0 if successes == 0 else center - half
    high = 1.0 if successes == total else center + half
    return Interval(share, low, high)


def _bootstrap(values: NDArray[np.float64], confidence: float, seed: int) -> Interval:
    mean = float(values.mean())
    if values.size > _MANY:
        error = float(values.std(ddof=1)) / math.sqrt(values.size)
        half = NormalDist().inv_cdf((1 + confidence) / 2) * error
        return Interval(mean, mean - half, mean + half)
    generator = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[generator.integers(0, values.size, size=(count, values.size))].mean(axis=1)
            for count in _blocks(values.size)
        ]
    )
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(mean, float(low), float(high))


def _blocks(width: int) -> list[int]:
    """Split the resamples into blocks whose draws fit the memory bound."""
    block = max(1, _BLOCK_ITEMS // width)
    return [min(block, _RESAMPLES - start) for start in range(0, _RESAMPLES, block)]


def _check(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {confidence!r}")


def _finite(scores: Sequence[float], name: str) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} must be a sequence of at least one number")
    if not bool(np.isfinite(values).all()):
        raise ValueError(f"{name} must be finite: exclude tasks without a score")
    return values


def _paired(
    before: Sequence[float], after: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = _finite(before, "before"), _finite(after, "after")
    if first.size != second.size:
        raise ValueError(f"before has {first.size} scores and after {second.size}; pair them by task")
    return first, second
