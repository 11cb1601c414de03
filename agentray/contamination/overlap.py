"""From matching spans to what a reader needs: rates, clean and dirty examples, and the spans themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agentray.contamination.search import ExampleSet
from agentray.contamination.spans import Spans, covered


@dataclass(frozen=True)
class Match:
    """A matching span as a reader sees it."""

    start: int
    """First token, in the test side."""
    stop: int
    """After its last token there."""
    test_text: str
    train_source: str
    train_example: str
    train_text: str


@dataclass(frozen=True)
class Passage:
    """A matching span, and in how many examples it lies."""

    num_tokens: int
    num_examples: int
    """Test examples whose longest span has this text."""
    test_example: str
    """The first of them."""
    test_text: str
    train_source: str
    train_example: str
    train_text: str


@dataclass(frozen=True)
class ExampleShare:
    """How much of an example is contaminated."""

    example: str
    share: float
    """Of its tokens, in (0, 1]."""


@dataclass(frozen=True)
class Overlap:
    """What one test set has in common with some training text."""

    train: str
    test: str
    contamination_rate: float | None
    """Contaminated tokens over all tokens of the set, in [0, 1]; None when it has no tokens."""
    mean_example_rate: float
    """Mean over examples of the contaminated share of their tokens."""
    clean: int
    """Examples with less than 20 % contaminated tokens."""
    dirty: int
    """Examples with more than 80 %."""
    num_examples: int
    num_short: int
    """Examples too short to match anything; they count as clean."""
    num_tokens: int
    num_contaminated_tokens: int
    contaminated: tuple[ExampleShare, ...]
    """The examples with contaminated tokens, highest share first."""
    passages: tuple[Passage, ...]
    """Longest spans first: the longest of each example, those of equal text together."""


def overlap(
    train: str, test: ExampleSet, matches: Sequence[Match], *, length: int, num_passages: int
) -> Overlap:
    """The figures of one training source, or several together, and one test set.

    Args:
        train: What to call the training text.
        test: The test set.
        matches: Its spans.
        length: Tokens of the shortest span.
        num_passages: Most spans to show.
    """
    first, sizes = test.bounds[0], np.diff(test.bounds)
    starts = np.array([each.start for each in matches], np.int64) - first
    stops = np.array([each.stop for each in matches], np.int64) - first
    flags = covered(Spans(starts, stops, starts), int(sizes.sum()))
    hits = np.diff(np.concatenate(([0], np.cumsum(flags)))[test.bounds - first])
    num_tokens, num_hits = int(sizes.sum()), int(hits.sum())
    return Overlap(
        train=train,
        test=test.name,
        contamination_rate=num_hits / num_tokens if num_tokens else None,
        mean_example_rate=float(np.mean(hits / np.maximum(sizes, 1))),
        # In whole numbers: exactly 20 % is not clean, and exactly 80 % not dirty.
        clean=int(np.sum(5 * hits < np.maximum(sizes, 1))),
        dirty=int(np.sum(5 * hits > 4 * sizes)),
        num_examples=len(sizes),
        num_short=int(np.sum(sizes < length)),
        num_tokens=num_tokens,
        num_contaminated_tokens=num_hits,
        contaminated=_contaminated(test, hits / np.maximum(sizes, 1)),
        passages=_passages(test, matches)[:num_passages],
    )


def _contaminated(test: ExampleSet, shares: npt.NDArray[np.float64]) -> tuple[ExampleShare, ...]:
    order = np.argsort(-shares, kind="stable")
    return tuple(ExampleShare(test.examples[row], float(shares[row])) for row in order if shares[row])


def _passages(test: ExampleSet, matches: Sequence[Match]) -> tuple[Passage, ...]:
    """The longest span of every example, by text, longest first."""
    longest: dict[int, Match] = {}
    for each in matches:
        example = int(np.searchsorted(test.bounds, each.start, side="right")) - 1
        best = longest.get(example)
        if best is None or each.stop - each.start > best.stop - best.start:
            longest[example] = each
    groups: dict[str, list[int]] = {}
    for example in sorted(longest):
        groups.setdefault(longest[example].test_text, []).append(example)
    shown = [_passage(longest[group[0]], len(group), test.examples[group[0]]) for group in groups.values()]
    return tuple(sorted(shown, key=lambda each: (-each.num_tokens, -each.num_examples)))


def _passage(match: Match, num_examples: int, example: str) -> Passage:
    return Passage(
        num_tokens=match.stop - match.start,
        num_examples=num_examples,
        test_example=example,
        test_text=match.test_text,
        train_source=match.train_source,
        train_example=match.train_example,
        train_text=match.train_text,
    )
