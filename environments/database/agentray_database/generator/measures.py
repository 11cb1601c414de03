"""Counts, rankings and aggregates."""

from __future__ import annotations

import re
from collections.abc import Callable

from agentray_database.generator.asking import (
    Draft,
    Written,
    cell,
    comparison,
    equal,
    fill,
    is_number,
    is_text,
    names,
    pick,
    say,
    select,
    tell,
)
from agentray_database.generator.kinds import NAMING, RANKABLE
from agentray_database.generator.tables import Column
from agentray_database.generator.wording import Voice, ident, number, quote, spoken

_AGGREGATES = {"max": "largest", "min": "smallest", "sum": "sum of", "avg": "average"}


def counting(voice: Voice) -> Written:
    """How many rows, or values of a column, fit."""
    if voice.plain:
        return _count_equal(voice)
    form = voice.rng.choice(
        [_count_equal] * 6 + [_count_threshold] * 2 + [_count_month, _count_distinct, _count_all]
    )
    return form(voice)


def _count_select(voice: Voice, what: str = "*") -> str:
    return f"SELECT COUNT({what}) FROM {ident(voice.table.name)}"


def _count_equal(voice: Voice) -> Written:
    given = pick(voice, is_text)
    value = cell(voice, given) if given else None
    if given is None or value is None:
        return None
    where = f" WHERE {equal([(given, value)])}"
    asked = None if voice.plain else pick(voice, lambda column: True, given)
    if asked and voice.rng.random() < 0.45:
        thought = f"Count {ident(asked.header)} where {ident(given.header)} is given."
        return Draft(
            say(voice, "countcol", asked, [(given, value)]),
            thought,
            _count_select(voice, ident(asked.header)) + where,
        )
    thought = f"Count the rows where {ident(given.header)} is given."
    if given.clauses and voice.rng.random() < 0.4 and not voice.plain:
        question = voice.pattern("select", "countclause").format(
            rows=voice.plural(), clause=voice.clause(given, value)
        )
        return Draft(question, thought, _count_select(voice) + where)
    return Draft(say(voice, "count", None, [(given, value)]), thought, _count_select(voice) + where)


def _count_threshold(voice: Voice) -> Written:
    column = pick(voice, is_number)
    if column is None:
        return None
    words, condition, sign = comparison(voice, column)
    thought = f"Count the rows where {ident(column.header)} is {sign} the number."
    return Draft(
        say(voice, "threshold", None, [], comp=words), thought, f"{_count_select(voice)} WHERE {condition}"
    )


def _count_month(voice: Voice) -> Written:
    column = pick(voice, lambda column: column.kind in ("date", "shortdate"))
    found = re.search(r"[A-Z][a-z]{3,}|\b\d{4}\b", column.cells[0]) if column else None
    if column is None or found is None:
        return None
    part = tell(voice, found.group())
    thought = f"Count the rows whose {ident(column.header)} contains this."
    sql = f"{_count_select(voice)} WHERE {ident(column.header)} LIKE {quote('%' + part + '%')}"
    return Draft(say(voice, "inmonth", column, [], m=part), thought, sql)


def _count_distinct(voice: Voice) -> Written:
    column = pick(voice, is_text)
    if column is None:
        return None
    thought = f"Count the different {ident(column.header)}."
    return Draft(
        say(voice, "distinct", column, []),
        thought,
        _count_select(voice, f"DISTINCT {ident(column.header)}"),
    )


def _count_all(voice: Voice) -> Written:
    return Draft(say(voice, "countall", None, []), "Count all rows.", _count_select(voice))


def ranking(voice: Voice) -> Written:
    """Which row comes first by a number, or that number."""
    measure = pick(
        voice, lambda column: column.kind in RANKABLE and (column.is_number or column.kind != "int")
    )
    asked = pick(voice, lambda column: column.kind in NAMING, *([measure] if measure else []))
    if measure is None or asked is None:
        return None
    if measure.is_number and voice.rng.random() < 0.3:
        return _extreme(voice, measure, voice.rng.choice(["max", "min"]))
    largest = voice.rng.random() < 0.6
    if asked.header == voice.table.key and measure.kind != "serial" and voice.rng.random() < 0.3:
        return _either(voice, asked, measure, largest)
    sql = f"{select(voice, asked)} ORDER BY {number(measure)} {'DESC' if largest else 'ASC'} LIMIT 1"
    side = "largest" if largest else "smallest"
    thought = f"Sort by {ident(measure.header)}, {side} first, and take {ident(asked.header)}."
    words = {"c": spoken(asked.header), "n": spoken(measure.header)}
    if asked.header == voice.table.key and _is_plain(voice, measure) and voice.rng.random() < 0.4:
        adjective = measure.superlatives[0 if largest else 1]
        return Draft(fill(voice, "adjective", {**words, "adj": adjective}), thought, sql)
    words["most"] = voice.rng.choice(_superlatives(measure, largest))
    if asked.header != voice.table.key:
        words["row"] = spoken(asked.header)
    return Draft(fill(voice, "most", words), thought, sql)


def _superlatives(measure: Column, largest: bool) -> list[str]:
    """Words for the first row by a number; the highest rank is the smallest number."""
    if measure.kind == "serial":
        return ["last", "lowest", "worst"] if largest else ["highest", "top", "best", "first"]
    general = ["highest", "largest", "greatest"] if largest else ["lowest", "smallest", "least"]
    return [measure.superlatives[0 if largest else 1]] * 2 + general if measure.superlatives else general


def _is_plain(voice: Voice, measure: Column) -> bool:
    """Whether the adjective alone ("the tallest tower") says which column is meant."""
    if not measure.superlatives or measure.superlatives[0] == "most":
        return False
    return sum(column.superlatives == measure.superlatives for column in voice.table.columns) == 1


def _either(voice: Voice, asked: Column, measure: Column, largest: bool) -> Written:
    first, second = (tell(voice, name) for name in voice.rng.sample(asked.cells, 2))
    more = ["more", "a higher", "the larger"] if largest else ["less", "a lower", "the smaller"]
    words = {"n": spoken(measure.header), "a": first, "b": second, "more": voice.rng.choice(more)}
    where = f"WHERE {ident(asked.header)} IN ({quote(first)}, {quote(second)})"
    order = f"ORDER BY {number(measure)} {'DESC' if largest else 'ASC'} LIMIT 1"
    side = "larger" if largest else "smaller"
    thought = f"Of the two {ident(asked.header)}, take the one with the {side} {ident(measure.header)}."
    return Draft(fill(voice, "either", words), thought, f"{select(voice, asked)} {where} {order}")


def _extreme(voice: Voice, measure: Column, function: str, all_rows: float = 0.15) -> Written:
    """MAX, MIN, SUM or AVG of a column, over the rows of a condition or over all."""
    value_of = f"SELECT {function.upper()}({number(measure)}) FROM {ident(voice.table.name)}"
    if voice.rng.random() < all_rows and not voice.plain:
        thought = f"The {_AGGREGATES[function]} {ident(measure.header)} over all rows."
        return Draft(say(voice, f"all{function}", measure, []), thought, value_of)
    given = pick(voice, is_text, measure)
    value = cell(voice, given) if given else None
    if given is None or value is None:
        return None
    pairs, words, condition = [(given, value)], "", equal([(given, value)])
    second = pick(voice, is_number, measure) if voice.rng.random() < 0.22 and not voice.plain else None
    if second:
        words, more, _ = comparison(voice, second)
        condition += f" AND {more}"
    where = names(given, *([second] if second else []))
    thought = f"The {_AGGREGATES[function]} {ident(measure.header)} where {where} fits."
    return Draft(say(voice, function, measure, pairs, words), thought, f"{value_of} WHERE {condition}")


def aggregation(function: str) -> Callable[[Voice], Written]:
    """The writer of questions for `sum`, `min`, `max` or `avg` of a column."""

    def write(voice: Voice) -> Written:
        measure = pick(voice, is_number)
        if measure is None:
            return None
        key = next((column for column in voice.table.columns if column.header == voice.table.key), None)
        if function in ("sum", "avg") and key and not voice.plain and voice.rng.random() < 0.3:
            return _pair(voice, key, measure, function)
        return _extreme(voice, measure, function, 0.35)

    return write


def _pair(voice: Voice, key: Column, measure: Column, function: str) -> Written:
    """Two rows by name: their sum, or what separates them."""
    first, second = (tell(voice, name) for name in voice.rng.sample(key.cells, 2))
    words = {"n": spoken(measure.header), "a": first, "b": second}
    where = f"FROM {ident(voice.table.name)} WHERE {ident(key.header)} IN ({quote(first)}, {quote(second)})"
    if function == "sum":
        thought = f"The sum of {ident(measure.header)} over these two {ident(key.header)}."
        return Draft(fill(voice, "pairsum", words), thought, f"SELECT SUM({number(measure)}) {where}")
    thought = f"The larger minus the smaller {ident(measure.header)} of these two {ident(key.header)}."
    return Draft(
        fill(voice, "difference", words),
        thought,
        f"SELECT MAX({number(measure)}) - MIN({number(measure)}) {where}",
    )
