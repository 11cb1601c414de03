"""What every question is made of: the columns and values it names, its words, and the SQL they mean."""

# ruff: noqa: RUF001  (cells hold en dashes)
from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from agentray_database.generator.kinds import NAMING
from agentray_database.generator.tables import Column
from agentray_database.generator.wording import Pair, Voice, ident, number, quote, spoken


class Draft(NamedTuple):
    """A question and how the expert answers it."""

    question: str
    thought: str
    sql: str
    retry_sql: str | None = None
    """What to try when `sql` finds nothing, because the question names only a part of a value."""


Written = Draft | None
"""None: this draw of columns makes no question."""

_TELLING = NAMING | {"date", "shortdate", "record", "score", "code", "callsign", "sets"}
_BLANK = re.compile(r"[-—–~?]*|n/a|TBA", re.IGNORECASE)


def tell(voice: Voice, value: str) -> str:
    """A value as the speaker writes it: SQL ignores case, so the expert copies it as it is."""
    return value.lower() if voice.rng.random() < 0.25 and not voice.plain else value


def pick(voice: Voice, fits: Callable[[Column], bool], *taken: Column) -> Column | None:
    """A random column that fits and is not taken."""
    headers = [column.header for column in taken]
    fitting = [column for column in voice.table.columns if column.header not in headers and fits(column)]
    return voice.rng.choice(fitting) if fitting else None


def cell(voice: Voice, column: Column, row: int | None = None) -> str | None:
    """A cell that can be asked about, as the speaker writes it; None when it is blank."""
    value = column.cells[voice.rng.randrange(len(column.cells)) if row is None else row]
    if _BLANK.fullmatch(value) or len(value) > 60 or "\\n" in value:
        return None
    return tell(voice, value)


def is_text(column: Column) -> bool:
    """Whether no sum makes sense of the column."""
    return not column.is_number


def is_number(column: Column) -> bool:
    """Whether every cell is a number."""
    return column.is_number


def is_telling(column: Column) -> bool:
    """Whether a value of the column can stand for its row."""
    return column.kind in _TELLING


def equal(pairs: list[Pair]) -> str:
    """The SQL condition that columns equal values, as spoken."""
    return " AND ".join(f"{ident(column.header)} = {quote(value)}" for column, value in pairs)


def names(*columns: Column) -> str:
    """Headers in backticks, for a thought."""
    return " and ".join(ident(column.header) for column in columns)


def select(voice: Voice, asked: Column) -> str:
    """The head of a statement that selects one column."""
    return f"SELECT {ident(asked.header)} FROM {ident(voice.table.name)}"


def say(
    voice: Voice, name: str, asked: Column | None, pairs: list[Pair], comparisons: str = "", **words: str
) -> str:
    """A pattern of `[select]` filled in."""
    heard = "" if asked is None else voice.rng.choice([asked.header] + [spoken(asked.header)] * 2)
    if asked is not None and voice.plain:
        heard = asked.header
    with_text = voice.pairs("with", pairs) if pairs else ""
    last = voice.rng.choice([" and ", ", and the ", " and the "])
    conditions = voice.pairs("ask", pairs, last) if pairs else ""
    if comparisons:
        join = voice.rng.choice([" and ", ", and "])
        with_text = with_text + join + comparisons if with_text else comparisons
        conditions = conditions + " with " + comparisons if conditions else "there is " + comparisons
    return voice.pattern("select", name).format(
        c=heard, n=heard, t=voice.mention(), row=voice.table.noun, rows=voice.plural(), conds=conditions,
        **{"with": with_text, "With": with_text[:1].upper() + with_text[1:]}, **words,
    )  # fmt: skip


def fill(voice: Voice, name: str, words: dict[str, str]) -> str:
    """A pattern of `[select]` with these words, for sentences without conditions."""
    known = {"t": voice.mention(), "row": voice.table.noun, "rows": voice.plural()}
    return voice.pattern("select", name).format(**{**known, **words})


def comparison(voice: Voice, column: Column) -> tuple[str, str, str]:
    """Words, SQL and operator name of a comparison with a number near one of the column's."""
    value = voice.rng.choice(column.cells)
    shown = value.replace(",", "") if voice.rng.random() < 0.3 else value
    style, sign = voice.rng.choice(
        [("less", "<"), ("more", ">"), ("less", "<"), ("more", ">"), ("atleast", ">="), ("atmost", "<=")]
    )
    return voice.pairs(style, [(column, shown)]), f"{number(column)} {sign} {value.replace(',', '')}", sign
