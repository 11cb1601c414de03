"""Look-ups and comparisons: which value stands where others are given."""

from __future__ import annotations

import re

from agentray_database.generator.asking import (
    Draft,
    Written,
    cell,
    comparison,
    equal,
    is_number,
    is_telling,
    is_text,
    names,
    pick,
    say,
    select,
    tell,
)
from agentray_database.generator.kinds import NAMING
from agentray_database.generator.tables import Column
from agentray_database.generator.wording import Pair, Voice, ident, quote, spoken

_DIVISIBLE = frozenset({"qtitle", "person", "opponent", "placecountry", "venue", "persons"})
"""Kinds whose values people shorten: the surname alone, the title without its quotes."""


def lookup(voice: Voice) -> Written:
    """A value of one column, where one or two others are given."""
    rng, columns = voice.rng, voice.table.columns
    row = rng.randrange(len(columns[0].cells))
    if rng.random() < 0.05 and not voice.plain:
        thought = f"The first {ident(columns[0].header)} is asked."
        return Draft(say(voice, "first", columns[0], []), thought, f"{select(voice, columns[0])} LIMIT 1")
    given = pick(voice, is_telling if rng.random() < 0.8 else lambda column: True)
    asked = pick(voice, lambda column: True, *([given] if given else []))
    value = cell(voice, given, row) if given else None
    if given is None or asked is None or value is None:
        return None
    if given.kind in _DIVISIBLE and rng.random() < 0.4 and not voice.plain:
        return _partial(voice, asked, given, given.cells[row])
    pairs: list[Pair] = [(given, value)]
    extra = pick(voice, is_text, given, asked) if rng.random() < 0.22 and not voice.plain else None
    second = cell(voice, extra, row) if extra else None
    if extra and second:
        pairs.append((extra, second))
    thought = f"{ident(asked.header)} is asked, {names(*(column for column, _ in pairs))} is given."
    return Draft(_ask(voice, asked, pairs), thought, f"{select(voice, asked)} WHERE {equal(pairs)}")


def _ask(voice: Voice, asked: Column, pairs: list[Pair]) -> str:
    """A look-up's question: in the domain's words, by the bare value, or by columns and values."""
    style = 1.0 if voice.plain else voice.rng.random()
    if asked.questions and style < 0.55:
        form = voice.rng.choice(asked.questions)
        mark = voice.rng.choice(["?", "?", "?", ""])
        return form.format(k=voice.row(pairs), h=spoken(asked.header)) + mark
    if len(pairs) == 1 and pairs[0][0].kind in NAMING and style < 0.7:
        return say(voice, "bare", asked, [], v=pairs[0][1])
    return say(voice, "lookup", asked, pairs)


def _partial(voice: Voice, asked: Column, given: Column, value: str) -> Written:
    """The question names a part of the value, so that only LIKE finds it."""
    shorter = {
        "qtitle": value.strip('"'),
        "person": value.split(" ")[-1],
        "opponent": re.sub(r"^(@|at|vs\.) ", "", value),
        "placecountry": value.split(",")[0].strip(),
        "venue": value.split(" ")[0],
        "persons": re.split(r", | & | and |; ", value)[0],
    }
    part = shorter.get(given.kind, value)
    if part == value or len(part) < 3:
        return None
    part = tell(voice, part)
    head = f"{select(voice, asked)} WHERE {ident(given.header)}"
    thought = f"{ident(asked.header)} is asked, {ident(given.header)} is given."
    return Draft(
        _ask(voice, asked, [(given, part)]),
        thought,
        f"{head} = {quote(part)}",
        f"{head} LIKE {quote('%' + part + '%')}",
    )


def compare(voice: Voice) -> Written:
    """A value of one column, where another is above or below a number."""
    measure = pick(voice, is_number)
    asked = pick(voice, lambda column: True, *([measure] if measure else []))
    if measure is None or asked is None:
        return None
    words, condition, sign = comparison(voice, measure)
    given = pick(voice, is_text, measure, asked) if voice.rng.random() < 0.75 else None
    value = cell(voice, given) if given else None
    pairs = [(given, value)] if given and value else []
    second = pick(voice, is_number, measure, asked) if voice.rng.random() < 0.25 else None
    if second:
        more, more_condition, _ = comparison(voice, second)
        words, condition = f"{words}, and {more}", f"{condition} AND {more_condition}"
    if pairs and voice.rng.random() < 0.12 and asked.kind in NAMING and (other := cell(voice, asked)):
        sql = f"{select(voice, asked)} WHERE {equal(pairs)} AND {ident(asked.header)} <> {quote(other)}"
        return Draft(
            say(voice, "otherthan", asked, pairs, a=other),
            f"{ident(asked.header)} is asked, but not the named one.",
            sql,
        )
    thought = f"{ident(asked.header)} is asked, with {ident(measure.header)} {sign} the number."
    where = " AND ".join([*([equal(pairs)] if pairs else []), condition])
    return Draft(say(voice, "lookup", asked, pairs, words), thought, f"{select(voice, asked)} WHERE {where}")
