"""The smallest detectable difference, against enumeration, simulation and the closed approximation."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from agentray.evaluate.power import detectable, detectable_mean, detectable_rate
from agentray.evaluate.stats import mcnemar

PAGE = Path(__file__).parents[3] / "docs" / "evaluation.md"


def test_five_pairs_can_show_nothing_and_six_only_a_sweep():
    assert detectable_rate(5) is None
    # Six of six is 2/64 = 0.031; five of six would be 0.219. So all six must differ: x^6 = 0.8.
    assert detectable_rate(6) == pytest.approx(0.8 ** (1 / 6), abs=1e-3)


def test_simulated_evaluations_find_the_difference_four_times_in_five():
    num_pairs, discordance = 60, 0.35
    difference = detectable_rate(num_pairs, discordance)
    gain, loss = (discordance + difference) / 2, (discordance - difference) / 2
    rng = np.random.default_rng(0)
    found = 0
    for outcomes in rng.choice(3, p=[gain, loss, 1 - gain - loss], size=(4000, num_pairs)):
        found += mcnemar((outcomes == 1).astype(int).tolist(), (outcomes == 0).astype(int).tolist()) <= 0.05
    assert found / 4000 == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize(("num_pairs", "discordance"), [(1000, 0.3), (3000, 0.1)])
def test_many_pairs_agree_with_the_normal_approximation(num_pairs, discordance):
    # Connor 1987, Biometrics 43:207-211, solved for the difference.
    alpha, beta = 1.959964, 0.841621
    root = math.sqrt(num_pairs - alpha**2 + beta**2)
    expected = math.sqrt(discordance) * (alpha * math.sqrt(num_pairs) + beta * root) / (num_pairs + beta**2)
    found = detectable_rate(num_pairs, discordance)
    assert expected < found < 1.06 * expected  # the exact test is a little conservative


@pytest.mark.parametrize("discordance", [0.0, 0.05, 0.3, 0.9])
def test_the_exact_power_gives_way_to_the_normal_one_where_they_agree(discordance):
    exact, normal = detectable_rate(5_000, discordance), detectable_rate(5_001, discordance)
    assert normal == pytest.approx(exact, rel=0.05)
    assert detectable_rate(1_000_000, discordance) < normal / 10


def test_more_tasks_detect_less_and_more_discordance_detects_less_well():
    sizes = [detectable_rate(number, 0.2) for number in (30, 100, 300, 1000)]
    assert sizes == sorted(sizes, reverse=True)
    spreads = [detectable_rate(200, share) for share in (0.1, 0.3, 0.6, 1.0)]
    assert spreads == sorted(spreads)


def test_discordance_below_the_difference_counts_as_the_difference():
    assert detectable_rate(50, 0.0) == detectable_rate(50, 0.02)
    assert detectable_rate(50, 0.0) >= 6 / 50


def test_graded_scores_need_two_point_eight_standard_errors():
    differences = [0.1, -0.2, 0.3, 0.0, 0.4, -0.1]
    error = np.std(differences, ddof=1) / math.sqrt(6)
    assert detectable_mean(differences) == pytest.approx(2.8016 * error, rel=1e-4)
    assert detectable([0.5] * 6, [0.5 + each for each in differences]) == pytest.approx(
        2.8016 * error, rel=1e-4
    )


def test_what_says_nothing_of_the_spread_gives_none():
    assert detectable_mean([0.3]) is None
    assert detectable([0.1, 0.2, 0.3], [0.2, 0.3, 0.4]) is None


def test_wins_are_tested_by_their_own_discordance():
    before, after = [0] * 10 + [1] * 10, [1] * 5 + [0] * 5 + [1] * 5 + [0] * 5
    assert detectable(before, after) == detectable_rate(20, 0.5)


@pytest.mark.parametrize(("num_pairs", "discordance"), [(0, 0.1), (10, -0.1), (10, 1.5)])
def test_impossible_arguments_are_refused(num_pairs, discordance):
    with pytest.raises(ValueError, match="num_pairs"):
        detectable_rate(num_pairs, discordance)


def test_the_documents_show_what_the_code_computes():
    rows = re.findall(r"^\| ([\d,]+) \|((?: [\d.]+ % \|){4})$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    assert len(rows) == 7
    for size, cells in rows:
        computed = [detectable_rate(int(size.replace(",", "")), share) for share in (0.1, 0.2, 0.3, 0.5)]
        assert re.findall(r"[\d.]+", cells) == [f"{100 * each:.1f}" for each in computed]
