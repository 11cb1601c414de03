"""Intervals and paired tests against published and hand-computed values."""

import numpy as np
import pytest

from agentray.evaluate.stats import (
    Interval,
    difference_interval,
    mcnemar,
    mean_interval,
    paired_permutation,
)


def test_wilson_matches_the_published_interval():
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3: 81 of 263 is 0.2553 to 0.3662.
    interval = mean_interval([1] * 81 + [0] * 182)
    assert interval.mean == pytest.approx(81 / 263)
    assert (interval.low, interval.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))


def test_wilson_matches_the_published_interval_at_zero():
    # The same table: 0 of 20 is 0.0000 to 0.1611, and 1 of 29 is 0.0061 to 0.1718.
    assert mean_interval([0] * 20) == Interval(0.0, 0.0, pytest.approx(0.1611, abs=5e-5))
    interval = mean_interval([1] + [0] * 28)
    assert (interval.low, interval.high) == (pytest.approx(0.0061, abs=5e-5), pytest.approx(0.1718, abs=5e-5))


def test_all_ones_mirror_all_zeros():
    ones, zeros = mean_interval([1.0] * 64), mean_interval([0.0] * 64)
    assert (ones.mean, ones.high) == (1.0, 1.0)
    assert ones.low == pytest.approx(1 - zeros.high)


def test_booleans_count_as_wins():
    assert mean_interval([True, False]) == mean_interval([1, 0])


def test_more_confidence_is_wider():
    narrow, wide = mean_interval([0, 1, 1, 1], 0.8), mean_interval([0, 1, 1, 1], 0.99)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


def test_bootstrap_agrees_with_the_normal_interval_on_many_scores():
    scores = np.random.default_rng(1).beta(2, 5, size=2000)
    interval = mean_interval(scores.tolist())
    half = 1.96 * scores.std() / np.sqrt(scores.size)
    assert interval.mean == pytest.approx(scores.mean())
    assert interval.low == pytest.approx(scores.mean() - half, abs=half * 0.1)
    assert interval.high == pytest.approx(scores.mean() + half, abs=half * 0.1)


def test_bootstrap_repeats_with_its_seed_and_only_with_it():
    scores = [0.1, 0.4, 0.35, 0.8, 0.07]
    assert mean_interval(scores, seed=3) == mean_interval(scores, seed=3)
    assert mean_interval(scores, seed=3) != mean_interval(scores, seed=4)


def test_one_graded_score_or_equal_ones_have_no_width():
    assert mean_interval([0.5]) == Interval(0.5, 0.5, 0.5)
    assert mean_interval([0.25] * 9) == Interval(0.25, 0.25, 0.25)


@pytest.mark.parametrize("scores", [[], [float("nan")], [float("inf"), 1.0]])
def test_scores_that_say_nothing_are_refused(scores):
    with pytest.raises(ValueError, match="scores must be"):
        mean_interval(scores)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_impossible_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence"):
        mean_interval([1, 0], confidence)


@pytest.mark.parametrize(
    ("gained", "lost", "expected"),
    [(10, 0, 2 / 2**10), (0, 10, 2 / 2**10), (8, 2, 112 / 1024), (5, 5, 1.0), (1, 0, 1.0), (0, 0, 1.0)],
)
def test_mcnemar_is_the_two_sided_binomial(gained, lost, expected):
    before = [0] * gained + [1] * lost + [1, 0]
    after = [1] * gained + [0] * lost + [1, 0]
    assert mcnemar(before, after) == pytest.approx(expected)


def test_mcnemar_survives_thousands_of_pairs():
    assert mcnemar([0] * 5000, [1] * 5000) == 0.0
    assert mcnemar([0, 1] * 2000, [1, 0] * 2000) == 1.0


def test_mcnemar_refuses_graded_scores():
    with pytest.raises(ValueError, match="paired_permutation"):
        mcnemar([0.5, 1], [1, 1])


def test_permutation_enumerates_few_pairs():
    # Only +++ and --- reach the observed sum: 2 of 8 patterns.
    assert paired_permutation([0.0, 0.0, 0.0], [0.1, 0.2, 0.3]) == pytest.approx(2 / 8)
    # Differences 3, 1, -1: |sum| >= 3 in 6 of 8 patterns.
    assert paired_permutation([0, 0, 1], [3, 1, 0]) == pytest.approx(6 / 8)


def test_permutation_treats_rounding_as_a_tie():
    assert paired_permutation([0.0] * 3, [0.1, 0.2, -0.3]) == 1.0


def test_permutation_agrees_with_mcnemar_on_wins():
    before, after = [0] * 20 + [1] * 6, [1] * 20 + [0] * 6
    assert paired_permutation(before, after) == pytest.approx(mcnemar(before, after), abs=0.005)


def test_permutation_is_never_zero_and_repeats_with_its_seed():
    before, after = [0.0] * 100, [0.7] * 100
    assert paired_permutation(before, after, seed=1) == pytest.approx(1 / 10_001)
    first, second = [0.1 * (i % 7) for i in range(40)], [0.1 * (i % 5) for i in range(40)]
    assert paired_permutation(first, second, seed=2) == paired_permutation(first, second, seed=2)


def test_permutation_of_equal_scores_is_one():
    assert paired_permutation([0.5, 0.2], [0.5, 0.2]) == 1.0


def test_the_interval_of_a_difference_keeps_the_pairs_together():
    rng = np.random.default_rng(4)
    before = rng.normal(0.4, 0.3, size=500)
    after = before + rng.normal(0.1, 0.05, size=500)
    interval = difference_interval(before.tolist(), after.tolist())
    half = 1.96 * (after - before).std() / np.sqrt(500)
    assert interval.mean == pytest.approx((after - before).mean())
    assert interval.low == pytest.approx(interval.mean - half, abs=half * 0.1)
    assert interval.high == pytest.approx(interval.mean + half, abs=half * 0.1)
    assert difference_interval([0.2, 0.4], [0.4, 0.6]).low == pytest.approx(0.2)
    with pytest.raises(ValueError, match="confidence"):
        difference_interval([0], [1], confidence=95)


@pytest.mark.parametrize("test", [mcnemar, paired_permutation, difference_interval])
def test_pairs_must_match(test):
    with pytest.raises(ValueError, match="pair them by task"):
        test([0, 1], [1])
    with pytest.raises(ValueError, match="at least one"):
        test([], [])


def test_resampling_gives_way_to_the_normal_distribution_where_they_agree():
    rng = np.random.default_rng(3)
    scores = rng.beta(2, 5, size=20_001)
    many, few = mean_interval(scores.tolist()), mean_interval(scores[:20_000].tolist())
    width = few.high - few.low
    assert many.high - many.low == pytest.approx(width, rel=0.05)
    assert many.low == pytest.approx(few.low, abs=width * 0.05)
    others = scores + rng.normal(0.0015, 0.1, size=scores.size)
    drawn = paired_permutation(scores[:20_000].tolist(), others[:20_000].tolist())
    normal = paired_permutation(scores.tolist(), others.tolist())
    assert 0.001 < normal < 0.2 and normal == pytest.approx(drawn, abs=0.01)
    assert paired_permutation(scores.tolist(), (scores + 0.1).tolist()) == 1 / 10_001
