from collections import Counter

import pytest

from agentray.errors import UsageError
from agentray.mix.stream import Stream, shares

AGENT = {"database": (30, 30.0), "alfworld": (10, 10.0)}
GENERAL = {"chat": (50, 4.0), "code": (50, 1.0)}


def test_a_weight_counts_and_not_the_number_of_samples():
    found = shares({"database": (30, 1.0), "alfworld": (10, 3.0), "web": (5, 0.0)}, {}, 1.0)
    assert {share.name: share.probability for share in found} == {"database": 0.25, "alfworld": 0.75}


def test_probabilities_follow_eta_sizes_and_weights():
    found = {share.name: share.probability for share in shares(AGENT, GENERAL, 0.2)}
    assert found == pytest.approx({"database": 0.15, "alfworld": 0.05, "chat": 0.64, "code": 0.16})


@pytest.mark.parametrize(("eta", "names"), [(0, {"chat", "code"}), (1, {"database", "alfworld"})])
def test_the_ends_of_eta_draw_from_one_side(eta, names):
    assert {share.name for share in shares(AGENT, GENERAL, eta)} == names


@pytest.mark.parametrize(
    ("agent", "general", "eta"),
    [
        ({}, GENERAL, 0.5),
        ({"database": (30, 0.0)}, GENERAL, 0.5),
        (AGENT, {}, 0.5),
        (AGENT, {"chat": (50, 0.0)}, 0.5),
        (AGENT, {"chat": (0, 1.0)}, 0.5),
        (AGENT, GENERAL, 1.01),
        (AGENT, GENERAL, -0.01),
    ],
)
def test_proportions_that_cannot_be_drawn_are_refused(agent, general, eta):
    with pytest.raises(UsageError):
        shares(agent, general, eta)


def test_the_stream_is_a_function_of_seed_and_index():
    drawn = shares(AGENT, GENERAL, 0.2)
    stream = Stream(drawn, seed=7)
    forward = [stream[index] for index in range(9000)]
    fresh = Stream(drawn, seed=7)
    assert [fresh[index] for index in reversed(range(8990, 9000))] == forward[:8989:-1]
    assert [Stream(drawn, seed=8)[index] for index in range(50)] != forward[:50]


def test_realised_ratios_are_within_half_a_percent():
    drawn = shares(AGENT, GENERAL, 0.2)
    stream = Stream(drawn, seed=0)
    counts = Counter(drawn[stream[index][0]].name for index in range(40_000))
    for source in drawn:
        assert counts[source.name] / 40_000 == pytest.approx(source.probability, abs=0.005)


def test_a_source_is_gone_through_before_anything_comes_again():
    drawn = shares({"database": (7, 7.0)}, {}, 1.0)
    stream = Stream(drawn, seed=0)
    passes = [[stream[7 * epoch + index][1] for index in range(7)] for epoch in range(3)]
    assert all(sorted(each) == list(range(7)) for each in passes)
    assert len({tuple(each) for each in passes}) > 1
