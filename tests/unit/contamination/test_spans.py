"""Matching spans: by hand, and against a slow search that tries every pair of positions."""

import random

import numpy as np
import pytest

from agentray.contamination import spans as module
from agentray.contamination.spans import build_index, covered, join, match, maximal, no_spans
from agentray.contamination.tokens import WordTokenizer

WORDS = WordTokenizer()
TEN = "one two three four five six seven eight nine ten"


def spans(test, train, **options):
    """(example, first token, last token, training document) of every span that is in no other."""
    if isinstance(test, str):
        test, train = [test], [train]
    tokens, batch = WORDS.tokenize(test), WORDS.tokenize(train)
    found = match(build_index(tokens, **options), batch)
    example = np.searchsorted(tokens.bounds, found.starts, side="right") - 1
    document = np.searchsorted(batch.bounds, found.firsts, side="right") - 1
    starts, stops = found.starts - tokens.bounds[example], found.stops - tokens.bounds[example]
    return list(zip(example.tolist(), starts.tolist(), stops.tolist(), document.tolist(), strict=True))


def slow(test, train, length, budget):
    """Every test token in a span, as sets of positions by example, by trying everything."""
    found = [set() for _ in test]
    for marks, mine in zip(found, test, strict=True):
        for theirs in train:
            for here in range(len(mine) - length + 1):
                for there in range(len(theirs) - length + 1):
                    if mine[here : here + length] == theirs[there : there + length]:
                        marks |= set(range(here, here + reach(mine[here:], theirs[there:], length, budget)))
    return found


def reach(mine, theirs, length, budget):
    longest, spent = length, 0
    for size in range(length + 1, min(len(mine), len(theirs)) + 1):
        if mine[size - 1] == theirs[size - 1]:
            longest = size
        else:
            spent += 1
            if spent > budget:
                break
    return longest


def marks(test, train, **options):
    tokens = WORDS.tokenize(test)
    flags = covered(match(build_index(tokens, **options), WORDS.tokenize(train)), len(tokens.starts))
    edges = zip(tokens.bounds[:-1], tokens.bounds[1:], strict=True)
    return [set(np.flatnonzero(flags[start:stop]).tolist()) for start, stop in edges]


def test_ten_equal_tokens_are_a_span_and_nine_are_none():
    assert spans(f"so {TEN} end", f"{TEN} stop") == [(0, 1, 11, 0)]
    assert spans(f"so {TEN[4:]} end", f"{TEN[4:]} stop") == []


def test_case_and_spacing_do_not_matter_and_punctuation_does():
    assert spans(TEN, TEN.upper().replace(" ", " \n\t")) == [(0, 0, 10, 0)]
    assert spans(TEN, TEN.replace("five", "five,")) == []


@pytest.mark.parametrize(("mismatches", "stop"), [(0, 12), (1, 14), (3, 18), (4, 20), (5, 20)])
def test_a_span_goes_on_over_at_most_four_mismatches(mismatches, stop):
    test = TEN + " a b" + "".join(f" x{i} c{i}" for i in range(mismatches))
    train = TEN + " a b" + "".join(f" y{i} c{i}" for i in range(mismatches))
    assert spans(test, train) == [(0, 0, stop, 0)]


def test_the_budget_can_be_none():
    assert spans(f"{TEN} x a", f"{TEN} y a", budget=0) == [(0, 0, 10, 0)]
    assert spans(f"{TEN} x a", f"{TEN} y a", budget=1) == [(0, 0, 12, 0)]


def test_a_span_does_not_end_in_a_mismatch():
    assert spans(f"{TEN} x", f"{TEN} y") == [(0, 0, 10, 0)]
    assert spans(f"{TEN} x p a q", f"{TEN} y r a s") == [(0, 0, 13, 0)]


def test_the_first_ten_tokens_have_no_mismatch_so_a_span_does_not_grow_to_the_left():
    assert spans(f"a x {TEN}", f"a y {TEN}") == [(0, 2, 12, 0)]


def test_an_inserted_token_ends_a_span():
    tail = " ".join(f"t{i}" for i in range(9))
    assert spans(f"{TEN} {tail}", f"{TEN} more {tail}") == [(0, 0, 10, 0)]


def test_each_anchor_has_its_own_budget():
    second = TEN.replace("e", "u")
    test, train = f"{TEN} x x x {second} x x a", f"{TEN} y y y {second} y y a"
    assert spans(test, train) == [(0, 0, 23, 0), (0, 13, 26, 0)]
    assert marks([test], [train]) == [set(range(26))]


def test_overlapping_spans_count_their_tokens_once():
    test = "a b c d e f g h i j k l m n"
    assert spans([test], ["a b c d e f g h i j k", "d e f g h i j k l m n"]) == [(0, 0, 11, 0), (0, 3, 14, 1)]
    assert marks([test], ["a b c d e f g h i j k", "d e f g h i j k l m n"]) == [set(range(14))]


def test_a_span_lies_within_one_document_on_either_side():
    half, rest = "a b c d e f", "g h i j k l"
    assert spans([f"{half} {rest}"], [half, rest]) == []
    assert spans([half, rest], [f"{half} {rest}"]) == []
    assert spans(["x", f"{half} {rest}", ""], ["", f"{half} {rest}", "y"]) == [(1, 0, 12, 1)]


def test_of_equal_spans_the_first_training_document_is_named():
    assert spans([TEN], ["nothing", TEN, TEN]) == [(0, 0, 10, 1)]


@pytest.mark.parametrize(("test", "train"), [([], [TEN]), ([""], [TEN]), ([TEN], []), ([TEN], ["", " "])])
def test_empty_sides_match_nothing(test, train):
    assert spans(test, train) == []


def test_words_of_any_length_are_compared_to_their_last_byte():
    long = "a" * 40
    assert spans(TEN.replace("ten", f"{long}x{long}"), TEN.replace("ten", f"{long}y{long}")) == []
    assert len(spans(TEN.replace("ten", f"{long}x{long}"), TEN.replace("ten", f"{long}x{long}"))) == 1


@pytest.mark.parametrize("hash_bits", [64, 3, 1])
@pytest.mark.parametrize(("length", "budget"), [(1, 0), (2, 1), (3, 0), (4, 2), (10, 4)])
@pytest.mark.parametrize("letters", [2, 5])
def test_the_result_is_that_of_trying_everything_however_bad_the_hashes(length, budget, letters, hash_bits):
    source = random.Random(f"{length} {budget} {letters}")

    def documents(count):
        return [[source.choice("abcde"[:letters]) for _ in range(source.randrange(40))] for _ in range(count)]

    for _ in range(3):
        test, train = documents(4), documents(4)
        train[1] += [*test[0][:20], "x", *test[0][21:]]
        texts = [[" ".join(each) for each in side] for side in (test, train)]
        expected = slow(test, train, length, budget)
        assert marks(*texts, length=length, budget=budget, hash_bits=hash_bits) == expected
        assert length > 9 or any(expected)


@pytest.mark.parametrize(("pairs", "stride"), [(1, 1), (3, 2), (1000, 16)])
def test_what_is_known_already_saves_work_and_changes_nothing(monkeypatch, pairs, stride):
    monkeypatch.setattr(module, "_MAX_PAIRS", pairs)
    monkeypatch.setattr(module, "_STRIDE", stride)
    source = random.Random(0)
    shared = [source.choice("abc") for _ in range(30)]
    for _ in range(20):
        test, train = ([vary(shared, source) for _ in range(5)] for _ in range(2))
        tokens = WORDS.tokenize([" ".join(each) for each in test])
        index, known = build_index(tokens, length=3, budget=2), no_spans()
        for document in train:
            known = maximal(join(known, match(index, WORDS.tokenize([" ".join(document)]), known)))
        flags = covered(known, len(tokens.starts))
        found = zip(tokens.bounds[:-1], slow(test, train, 3, 2), strict=True)
        expected = [start + place for start, marks in found for place in marks]
        assert np.flatnonzero(flags).tolist() == sorted(expected)
        assert (np.diff(known.starts) > 0).all() and (np.diff(known.stops) > 0).all()


def vary(tokens, source):
    """The tokens with a few replaced, in the midst of others."""
    changed = [source.choice("abcx") if source.random() < 0.1 else token for token in tokens]
    return [source.choice("ab") for _ in range(source.randrange(4))] + changed[source.randrange(9) :]


def test_many_pairs_of_positions_are_compared_in_parts():
    test, train = [f"w{i} {TEN}" for i in range(300)], [f"v{i} {TEN}" for i in range(300)]
    assert spans(test, train) == [(i, 1, 11, 0) for i in range(300)]


def test_the_longest_span_of_an_example_survives_and_those_inside_it_do_not():
    kept = maximal(
        match(build_index(WORDS.tokenize([f"{TEN} {TEN}"])), WORDS.tokenize([TEN, f"{TEN} {TEN}"]))
    )
    assert (kept.starts.tolist(), kept.stops.tolist()) == ([0], [20])
