"""Which tokens of test examples lie in spans that training text has too: exact, without sampling.

A span is a run of tokens in a test example and a run of equal length in a training document. It begins
with `length` (10) equal tokens; after these at most `budget` (4) positions may differ, and the last position
is equal. A test token is contaminated when it lies in any span, the differing positions included. The test
side is indexed; training text streams past it batch by batch, and each batch leaves the spans that lie in no
other of its spans.

Sources: Touvron et al. 2023, arXiv:2307.09288, appendix A.6 (spans with up to four mismatches, none of them
in the first ten tokens or at the end), as Zeng et al. 2023, arXiv:2310.12823, appendix B, use it (10-grams,
at most four mismatches). Ours, where these leave a choice: the tokenizer; spans of exactly 10 tokens count
(the first asks for more than 10); a span lies within one training document; a mismatch replaces one token by
one other and does not shift what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agentray.contamination.tokens import (
    Flags,
    Hashes,
    Ids,
    Positions,
    Tokens,
    Vocabulary,
    build_vocabulary,
    gram_hashes,
    token_hashes,
)

_MAX_PAIRS = 1 << 15
"""Pairs of positions compared at once."""
_STRIDE = 16
"""Tokens of each pair compared at once."""


class Spans(NamedTuple):
    """Matching spans, one a row."""

    starts: Positions
    """int64 (spans,): the first token in the test side."""
    stops: Positions
    """int64 (spans,): after the last token there."""
    firsts: Positions
    """int64 (spans,): the first token in the training batch."""


@dataclass(frozen=True)
class Index:
    """The test side, prepared to be looked up from training text."""

    length: int
    budget: int
    vocabulary: Vocabulary
    ids: Ids
    """int32 (tokens,): the token's number in the vocabulary."""
    stops: Positions
    """int64 (tokens,): where the token's example ends."""
    grams: Hashes
    """uint64 (grams,): hashes of the test side's n-grams, ascending, each once."""
    places: Positions
    """int64 (occurrences,): where n-grams begin, in the order of `contexts`."""
    contexts: Positions
    """int64 (occurrences,), ascending: the n-gram's place in `grams`, and the number of the token before."""
    seen: Flags
    """bool (2^k,): whether an n-gram's hash begins with these k bits; most training text fails here."""


class _Batch(NamedTuple):
    """The training side of a comparison."""

    ids: Ids
    """int32 (tokens,): numbers in the test side's vocabulary, or -1."""
    stops: Positions
    """int64 (tokens,): where the token's document ends."""


def build_index(tokens: Tokens, length: int = 10, budget: int = 4, hash_bits: int = 64) -> Index:
    """Prepare the test side.

    Args:
        tokens: All test examples, as documents.
        length: Tokens that begin a span without a mismatch, at least 1.
        budget: Most mismatches in a span.
        hash_bits: Bits kept of each hash; with fewer there is more to verify, and nothing else changes.
    """
    vocabulary, ids = build_vocabulary(tokens, hash_bits)
    stops = np.repeat(tokens.bounds[1:], np.diff(tokens.bounds))
    hashes = gram_hashes(token_hashes(tokens, hash_bits), length, hash_bits)
    places = np.flatnonzero(np.arange(len(hashes)) + length <= stops[: len(hashes)])
    grams, which = np.unique(hashes[places], return_inverse=True)
    contexts = which * (len(vocabulary.hashes) + 2) + _before(ids, tokens.bounds, places, none=0)
    order = np.argsort(contexts, kind="stable")
    bits = min(max(int(8 * len(grams)).bit_length(), 10), 27)
    seen = np.zeros(1 << bits, np.bool_)
    seen[_leading(grams, bits)] = True
    return Index(length, budget, vocabulary, ids, stops, grams, places[order], contexts[order], seen)


def match(index: Index, tokens: Tokens, known: Spans | None = None) -> Spans:
    """The spans that training documents share with the test side, without those inside another.

    Args:
        index: The test side.
        tokens: A batch of training documents.
        known: Spans of earlier batches, as `maximal` gives them; those inside one are excluded too.
    """
    known = known or no_spans()
    spans = known._replace(firsts=np.full_like(known.firsts, -1))
    hashes = token_hashes(tokens, index.vocabulary.hash_bits)
    begins, grams = _candidates(index, tokens, hashes)
    if len(begins):
        batch = _identify(index, tokens, hashes, begins)
        for here, there in _pairs(index, tokens, batch, begins, grams):
            longer = _may_outgrow(index, batch, here, there, spans)
            here, there = here[longer], there[longer]
            lengths = _extend(index, batch, here, there)
            long = lengths >= index.length
            spans = maximal(join(spans, Spans(here[long], (here + lengths)[long], there[long])))
    new = spans.firsts >= 0
    return Spans(*(column[new] for column in spans))


def no_spans() -> Spans:
    """No spans."""
    return Spans(*(np.zeros(0, np.int64) for _ in Spans._fields))


def join(spans: Spans, more: Spans) -> Spans:
    """The spans of both."""
    return Spans(*map(np.concatenate, zip(spans, more, strict=True)))


def maximal(spans: Spans) -> Spans:
    """The spans that lie inside no other, by their tokens in the test side; of equal ones the first.

    They cover the same tokens as all spans do, and the longest span of every example is one of them.
    """
    order = np.lexsort((np.arange(len(spans.starts)), -spans.stops, spans.starts))
    starts, stops, firsts = (column[order] for column in spans)
    reach = np.maximum.accumulate(np.concatenate(([-1], stops)))[:-1]
    keep = stops > reach
    return Spans(starts[keep], stops[keep], firsts[keep])


def covered(spans: Spans, num_tokens: int) -> Flags:
    """Whether each test token lies in a span: bool (tokens,)."""
    steps = np.zeros(num_tokens + 1, np.int64)
    np.add.at(steps, spans.starts, 1)
    np.add.at(steps, spans.stops, -1)
    return np.cumsum(steps[:-1]) > 0


def _candidates(index: Index, tokens: Tokens, hashes: Hashes) -> tuple[Positions, Positions]:
    """Where n-grams begin whose hash the test side has, and the hash's place in `index.grams`."""
    found = gram_hashes(hashes, index.length, index.vocabulary.hash_bits)
    bits = len(index.seen).bit_length() - 1
    begins = np.flatnonzero(index.seen[_leading(found, bits)])
    if not len(begins) or not len(index.grams):
        return begins[:0], begins[:0]
    grams = np.minimum(np.searchsorted(index.grams, found[begins]), len(index.grams) - 1)
    known = index.grams[grams] == found[begins]
    document = np.searchsorted(tokens.bounds, begins, side="right")
    known &= begins + index.length <= tokens.bounds[document]
    return begins[known], grams[known]


def _identify(index: Index, tokens: Tokens, hashes: Hashes, begins: Positions) -> _Batch:
    """The exact numbers of the tokens in documents with candidates."""
    sizes = np.diff(tokens.bounds)
    hit = np.zeros(len(sizes), np.bool_)
    hit[np.searchsorted(tokens.bounds, begins, side="right") - 1] = True
    chosen = np.flatnonzero(np.repeat(hit, sizes))
    ids = np.full(len(hashes), -1, np.int32)
    ids[chosen] = index.vocabulary.number(tokens, chosen, hashes[chosen])
    return _Batch(ids, np.repeat(tokens.bounds[1:], sizes))


def _pairs(
    index: Index, tokens: Tokens, batch: _Batch, begins: Positions, grams: Positions
) -> Iterator[tuple[Positions, Positions]]:
    """Positions in the test side and in the batch from which spans may begin, some at a time.

    Where the tokens before are equal too, a span that begins there contains this one: such pairs, all but the
    first of every run of equal tokens, are never looked at.
    """
    size = len(index.vocabulary.hashes) + 2
    before = _before(batch.ids, tokens.bounds, begins, none=size - 1)
    low, same, other, high = (
        np.searchsorted(index.contexts, grams * size + offset)
        for offset in (np.zeros_like(before), before, before + 1, np.full_like(before, size))
    )
    counts = same - low + high - other
    for part in _slices(counts, _MAX_PAIRS):
        row = np.repeat(np.arange(part.start, part.stop), counts[part])
        turn = np.arange(len(row)) - np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
        place = low[row] + turn
        place += np.where(place >= same[row], (other - same)[row], 0)
        yield index.places[place], begins[row]


def _may_outgrow(index: Index, batch: _Batch, here: Positions, there: Positions, spans: Spans) -> Flags:
    """False for pairs whose span lies inside one of `spans` for certain.

    Text that many documents share gives the same span again and again. One that goes on where the known span
    stops has few mismatches around there, so that most pairs are settled by a look at that place alone.
    """
    last = np.searchsorted(spans.starts, here, side="right") - 1
    reach = np.maximum(np.where(last >= 0, np.append(spans.stops, 0)[last], 0) - here, 0)
    steps = np.maximum(reach - _STRIDE, 0)[:, None] + np.arange(2 * _STRIDE)
    costs = _costs(index, batch, here, there, steps)
    affordable = np.cumsum(costs, axis=1) <= index.budget
    beyond = (affordable & (costs == 0) & (steps >= reach[:, None])).any(axis=1)
    longer: Flags = beyond | affordable[:, -1]
    return longer


def _extend(index: Index, batch: _Batch, here: Positions, there: Positions) -> Positions:
    """Tokens in the longest span from each pair of positions; below `index.length` there is none."""
    lengths, spent = np.zeros_like(here), np.zeros_like(here)
    active, done = np.arange(len(here)), 0
    while len(active):
        steps = done + np.arange(_STRIDE)
        costs = _costs(index, batch, here[active], there[active], steps)
        totals = spent[active, None] + np.cumsum(costs, axis=1)
        equal = (costs == 0) & (totals <= index.budget)
        last = done + _STRIDE - np.argmax(equal[:, ::-1], axis=1)
        lengths[active] = np.where(equal.any(axis=1), last, lengths[active])
        spent[active] = totals[:, -1]
        active, done = active[totals[:, -1] <= index.budget], done + _STRIDE
    return lengths


def _costs(index: Index, batch: _Batch, here: Positions, there: Positions, steps: Positions) -> Positions:
    """What each step of each pair takes of the budget.

    A mismatch takes 1; one in the first n-gram, or the end of a document, takes more than there is.

    Args:
        index: The test side.
        batch: The training side.
        here: Positions in the test side, (pairs,).
        there: Positions in the batch, (pairs,).
        steps: How far to go from there, (steps,) or (pairs, steps).

    Returns:
        int64 (pairs, steps).
    """
    limits = np.minimum(index.stops[here] - here, batch.stops[there] - there)
    mine = index.ids[np.minimum(here[:, None] + steps, len(index.ids) - 1)]
    theirs = batch.ids[np.minimum(there[:, None] + steps, len(batch.ids) - 1)]
    price = np.where(steps < index.length, index.budget + 1, 1)
    return np.where(steps < limits[:, None], (mine != theirs) * price, index.budget + 1)


def _leading(hashes: Hashes, bits: int) -> Positions:
    return (hashes >> np.uint64(64 - bits)).view(np.int64)


def _before(ids: Ids, bounds: Positions, places: Positions, none: int) -> Positions:
    """One more than the number of the token before each place; `none` where it has no number or is none."""
    previous = ids[places - 1].astype(np.int64) + 1
    starts = bounds[np.searchsorted(bounds, places, side="right") - 1]
    return np.where((starts == places) | (previous == 0), none, previous)


def _slices(counts: Positions, most: int) -> list[slice]:
    """Consecutive slices of rows, each with at most `most` in all or one row long."""
    totals = np.concatenate(([0], np.cumsum(counts)))
    slices, start = [], 0
    while start < len(counts):
        stop = max(start + 1, int(np.searchsorted(totals, totals[start] + most, side="right")) - 1)
        slices.append(slice(start, stop))
        start = stop
    return slices
