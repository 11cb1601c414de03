"""Rates, the thresholds and the spans shown."""

import numpy as np
import pytest

from agentray.contamination.overlap import Match, overlap
from agentray.contamination.search import ExampleSet


def example_set(*sizes, start=0):
    names = tuple(f"e{number}" for number in range(len(sizes)))
    return ExampleSet("set", names, start + np.cumsum([0, *sizes]), (), {})


def match(start, stop, text="text", example="doc"):
    return Match(start, stop, text, "source", example, text.upper())


def figures(test, *matches, num_passages=9):
    return overlap("train", test, matches, length=10, num_passages=num_passages)


@pytest.mark.parametrize(
    ("hits", "clean", "dirty"), [(0, 1, 0), (19, 1, 0), (20, 0, 0), (80, 0, 0), (81, 0, 1), (100, 0, 1)]
)
def test_exactly_a_fifth_is_not_clean_and_exactly_four_fifths_not_dirty(hits, clean, dirty):
    found = figures(example_set(100), *([match(0, hits)] if hits else []))
    assert (found.clean, found.dirty, found.num_contaminated_tokens) == (clean, dirty, hits)


def test_rates_are_by_token_and_by_example():
    found = figures(example_set(10, 30), match(0, 10))
    assert (found.contamination_rate, found.mean_example_rate) == (0.25, 0.5)
    assert [(each.example, each.share) for each in found.contaminated] == [("e0", 1.0)]


def test_overlapping_spans_count_once_and_only_in_their_example():
    found = figures(example_set(20, 20, start=100), match(105, 117), match(110, 120), match(120, 130))
    assert found.num_contaminated_tokens == 15 + 10
    assert [each.share for each in found.contaminated] == [0.75, 0.5]


def test_examples_too_short_to_match_are_clean_and_counted():
    found = figures(example_set(0, 9, 10))
    assert (found.clean, found.num_examples, found.num_short) == (3, 3, 2)


def test_a_set_without_tokens_has_no_rate():
    assert figures(example_set(0)).contamination_rate is None


def test_the_longest_span_of_each_example_is_shown_equal_ones_together():
    same = [match(start, start + 12, "same", example) for start, example in ((0, "a"), (20, "b"))]
    found = figures(example_set(20, 20, 20), *same, match(6, 16, "short"), match(40, 60, "whole"))
    shown = [
        (each.test_text, each.num_tokens, each.num_examples, each.test_example) for each in found.passages
    ]
    assert shown == [("whole", 20, 1, "e2"), ("same", 12, 2, "e0")]
    assert (found.passages[1].train_example, found.passages[1].train_text) == ("a", "SAME")
    assert len(figures(example_set(20, 20, 20), *same, match(40, 60), num_passages=1).passages) == 1
