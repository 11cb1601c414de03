from collections import Counter

import pytest

from agentray.errors import UsageError
from agentray.mix.stream import Stream, sources

AGENT = {"database": 30, "alfworld": 10}
GENERAL = {"chat": (50, 4.0), "code": (50, 1.0)}


def test_probabilities_follow_eta_sizes_and_weights():
    found = {source.name: source.probability for source in sources(AGENT, GENERAL, 0.2)}
    assert found == pytest.approx({"database": 0.15, "alfworld": 0.05, "chat": 0.64, "code": 0.16})


@pytest.mark.parametrize(("eta", "names"), [(0, {"chat", "code"}), (1, {"database", "alfworld"})])
def test_the_ends_of_eta_draw_from_one_side(eta, names):
    assert {source.name for source in sources(AGENT, GENERAL, eta)} == names


@pytest.mark.parametrize(
    ("agent", "general", "eta"),
    [
        ({}, GENERAL, 0.5),
        (AGENT, {}, 0.5),
        (AGENT, {"chat": (50, 0.0)}, 0.5),
        (AGENT, {"chat": (0, 1.0)}, 0.5),
        (AGENT, GENERAL, 1.01),
        (AGENT, GENERAL, -0.01),
    ],
)
def test_proportions_that_cannot_be_drawn_are_refused(agent, general, eta):
    with pytest.raises(UsageError):
        sources(agent, general, eta)


def test_the_stream_is_a_function_of_seed_and_index():
    drawn = sources(AGENT, GENERAL, 0.2)
    stream = Stream(drawn, seed=7)
    forward = [stream[index] for index in range(9000)]
    fresh = Stream(drawn, seed=7)
    assert [fresh[index] for index in reversed(range(8990, 9000))] == forward[:8989:-1]
    assert [Stream(drawn, seed=8)[index] for index in range(50)] != forward[:50]


def test_realised_ratios_are_within_half_a_percent():
    drawn = sources(AGENT, GENERAL, 0.2)
    stream = Stream(drawn, seed=0)
    counts = Counter(drawn[stream[index][0]].name for index in range(40_000))
    for source in drawn:
        assert counts[source.name] / 40_000 == pytest.approx(source.probability, abs=0.005)


def test_a_source_is_gone_through_before_anything_comes_again():
    drawn = sources({"database": 7}, {}, 1.0)
    stream = Stream(drawn, seed=0)
    passes = [[stream[7 * epoch + index][1] for index in range(7)] for epoch in range(3)]
    assert all(sorted(each) == list(range(7)) for each in passes)
    assert len({tuple(each) for each in passes}) > 1
