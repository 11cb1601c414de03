"""The smallest difference between two models that an evaluation of a given size would notice.

A smaller measured difference may well be noise, and a smaller true one is easily missed. Throughout, the
tests are two-sided at the 5 % level and the chance to find the difference is 80 %, as is the convention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_STEPS = 14
"""Halvings of the unit interval: the result is exact to 0.0001."""
_MANY = 5_000
"""With more tasks, the exact power is that of the normal distribution, and its sums would take minutes."""
_NEGLIGIBLE = 1e-12


def detectable_rate(
    num_pairs: int, discordance: float = 0.0, *, level: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest difference of two success rates on the same tasks that the exact McNemar test finds.

    The number of tasks that only one model wins is binomial with the discordance, and the split of those
    tasks is binomial too; the power is summed over both, so that it is that of the exact test, for few tasks
    as well. With more than 5,000 tasks both are normal.

    Args:
        num_pairs: Tasks that both models tried.
        discordance: Share of tasks that exactly one of the two wins, seen or assumed, in [0, 1]. A
            difference needs at least as much discordance, so a smaller value counts as the difference
            itself: the most favourable case.
        level: Two-sided level of the test.
        power: Chance of a significant result when the difference is real.

    Returns:
        A difference in (0, 1]; None where not even a model that wins every task that the other loses would
        be found: with 5 pairs and less at the 5 % level.

    Raises:
        ValueError: An argument is out of range.

    Source: Duffy 1984, Asymptotic and exact power for the McNemar test, Biometrics 40(4):1005-1015; for many
    tasks Connor 1987, Sample size for testing differences in proportions for the paired-sample design,
    Biometrics 43(1):207-211.
    """
    if num_pairs < 1 or not 0 <= discordance <= 1 or not 0 < level < 1 or not 0 < power < 1:
        raise ValueError(f"num_pairs {num_pairs}, discordance {discordance}, level {level}, power {power}")
    chance = (
        _normal(num_pairs, discordance, level) if num_pairs > _MANY else _exact(num_pairs, discordance, level)
    )
    low, high = 0.0, 1.0
    if chance(high) < power:
        return None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) < power else (low, middle)
    return high


def detectable_mean(differences: Sequence[float], *, level: float = 0.05, power: float = 0.8) -> float | None:
    """Smallest difference of two mean scores on the same tasks that a paired test finds.

    `(z(1 - level / 2) + z(power)) * s / sqrt(n)`, 2.8 standard errors, s the standard deviation of the
    differences as they were seen.

    Args:
        differences: Score after minus score before, per task.
        level: Two-sided level of the test.
        power: Chance of a significant result when the difference is real.

    Returns:
        A difference above 0, in the unit of the scores; None where one task, or equal differences, say
        nothing of the spread.

    Source: Bloom 1995, Minimum detectable effects, Evaluation Review 19(5):547-556; for evaluations of
    language models Miller 2024, arXiv 2411.00640, section 5.
    """
    values = np.asarray(differences, dtype=np.float64)
    deviation = float(values.std(ddof=1)) if values.size > 1 else 0.0
    if deviation <= _NEGLIGIBLE:
        return None
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * deviation / math.sqrt(values.size)


def detectable(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Smallest difference that these pairs of scores could show, given the discordance or spread they have.

    Scores that are all 0 or 1 are tested by McNemar's test, others by a paired test of means.

    Args:
        before: One finite score per task; at least one.
        after: One finite score per task, in the order of `before`.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if bool(np.isin(np.concatenate([first, second]), (0.0, 1.0)).all()):
        return detectable_rate(first.size, float(np.mean(first != second)))
    return detectable_mean((second - first).tolist())


def _normal(num_pairs: int, discordance: float, level: float) -> Callable[[float], float]:
    """Power of the test by difference, for many tasks."""
    normal = NormalDist()

    def power(difference: float) -> float:
        share = max(discordance, difference)
        shift = difference * math.sqrt(num_pairs) - normal.inv_cdf(1 - level / 2) * math.sqrt(share)
        return normal.cdf(shift / math.sqrt(max(share - difference**2, _NEGLIGIBLE)))

    return power


def _exact(num_pairs: int, discordance: float, level: float) -> Callable[[float], float]:
    """Power of the test by difference."""
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, num_pairs + 1)))])
    critical = _critical(log_factorials, level)
    return lambda difference: _power(log_factorials, critical, difference, discordance)


def _critical(log_factorials: NDArray[np.float64], level: float) -> NDArray[np.int64]:
    """Per number of discordant tasks, the most that may fall to the weaker model; -1 where none suffices."""
    critical = np.full(log_factorials.size, -1)
    weaker = -1
    for number in range(log_factorials.size):
        # One more task moves the bound by one at most, and never down.
        if 2 * _half_tail(log_factorials, number, weaker + 1) <= level:
            weaker += 1
        critical[number] = weaker
    return critical


def _half_tail(log_factorials: NDArray[np.float64], number: int, weaker: int) -> float:
    """Chance of at most `weaker` heads among `number` fair coins."""
    if weaker > number:
        return 1.0
    heads = np.arange(weaker + 1)
    logs = log_factorials[number] - log_factorials[heads] - log_factorials[number - heads]
    return float(np.exp(logs - number * math.log(2)).sum())


def _power(
    log_factorials: NDArray[np.float64],
    critical: NDArray[np.int64],
    difference: float,
    discordance: float,
) -> float:
    """Chance that the exact test is significant.

    Args:
        log_factorials: float64 (n + 1,).
        critical: int64 (n + 1,).
        difference: Difference of the rates.
        discordance: Share of tasks that exactly one model wins.
    """
    share = max(discordance, difference)
    numbers = np.arange(log_factorials.size)
    weights = _binomial(log_factorials, numbers[-1:], numbers, share)
    kept = numbers[(weights > _NEGLIGIBLE) & (critical >= 0)]
    if kept.size == 0:
        return 0.0
    stronger = (share + difference) / (2 * share)
    weaker = np.arange(critical[kept].max() + 1)
    rejected = weaker[None, :] <= critical[kept][:, None]
    found = sum(
        np.where(rejected, _binomial(log_factorials, kept[:, None], weaker[None, :], chance), 0.0).sum(axis=1)
        for chance in (1 - stronger, stronger)
    )
    return float(weights[kept] @ found)


def _binomial(
    log_factorials: NDArray[np.float64], total: NDArray[np.int64], hits: NDArray[np.int64], chance: float
) -> NDArray[np.float64]:
    """Binomial probabilities, `total` and `hits` broadcast against each other; 0 for more hits than total."""
    chance = min(max(chance, 1e-300), 1 - 1e-16)
    misses = np.maximum(total - hits, 0)
    logs = log_factorials[total] - log_factorials[hits] - log_factorials[misses]
    logs = logs + hits * math.log(chance) + misses * math.log1p(-chance)
    return np.where(hits <= total, np.exp(logs), 0.0)
