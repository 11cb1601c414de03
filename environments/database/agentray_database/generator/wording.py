"""How requests are worded: sentence patterns of the split, and ways to speak of tables, columns and rows."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentray.types import Split
from agentray_database.generator.pools import load, share
from agentray_database.generator.tables import Column, Table

Pair = tuple[Column, str]
"""A column and a value in it."""
Requests = Literal["free", "plain"]
"""How requests are worded: in many voices, or by headers and quoted values alone."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks and how the expert does it."""

    category: str
    """`insert`, `update`, `other`, `counting`, `comparison`, `ranking` or `aggregation-SUM` and so on."""
    question: str
    thought: str
    """One sentence that says which columns the request is about."""
    sql: str
    retry_sql: str | None = None
    """What the expert tries when `sql` finds nothing: the question names only a part of a value."""


def ident(name: str) -> str:
    """A name in backticks."""
    return "`" + name.replace("`", "``") + "`"


def quote(value: str) -> str:
    """A value in single quotes."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def number(column: Column) -> str:
    """SQL that reads a text column as a number."""
    return f"REPLACE({ident(column.header)}, ',', '') + 0"


def spoken(header: str) -> str:
    """A header as people say it: `Area (km²)` is `area`, `Pts` is `points`."""
    table: dict[str, str] = load("phrases.toml")["spoken"]
    if header in table:
        return table[header]
    plain = re.sub(r"\s*[(\\].*", "", header.replace("_", " ")).strip() or header
    words = [word if word.isupper() and len(word) < 5 else word.lower() for word in plain.split()]
    return " ".join(words)


def listing(parts: Sequence[str], last: str) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + last + parts[-1]


class Voice:
    """One speaker: draws patterns of a split for sentences about one table."""

    def __init__(self, rng: random.Random, split: Split, table: Table, requests: Requests = "free") -> None:
        self.rng, self.table = rng, table
        self.plain = requests == "plain"
        self._split: Split = split

    def pattern(self, section: str, name: str) -> str:
        """A sentence pattern of the split."""
        return self.rng.choice(share(list(dict.fromkeys(load("phrases.toml")[section][name])), self._split))

    def mention(self) -> str:
        """The table in a sentence."""
        text = self.rng.choice(load("phrases.toml")["shared"]["mention"]).format(T=self.table.name)
        return re.sub(r"([Tt]able)(['`]?) table$", r"\1\2", text)

    def pairs(self, style: str, pairs: Sequence[Pair], last: str | None = None) -> str:
        """Columns and values in one style of `[shared]`, as a list."""
        forms = load("phrases.toml")["shared"][style]
        if self.plain:
            forms = [form for form in forms if "{c}" in form]
        form = self.rng.choice(forms)
        parts = [form.format(c=column.header, s=spoken(column.header), v=value) for column, value in pairs]
        return listing(parts, last or self.rng.choice([" and ", ", and ", " and ", ", "]))

    def clause(self, column: Column, value: str) -> str:
        """What follows the row's noun: `against Reno`, `with points of 30`; never what suits two columns."""
        others = [other for other in self.table.columns if other.header != column.header]
        forms = [form for form in column.clauses if not any(form in other.clauses for other in others)]
        forms = forms or ["with {h} {v}", "with a {h} of {v}", "with {v} as {h}"]
        return self.rng.choice(forms).format(v=value, h=spoken(column.header))

    def row(self, pairs: Sequence[Pair]) -> str:
        """A row by some of its values: its name, `the game on 4 May`, `week 12`."""
        named = [(column, value) for column, value in pairs if self.names(column)]
        rest = [(column, value) for column, value in pairs if not self.names(column)]
        if not named and len(rest) == 1 and rest[0][0].kind in ("serial", "year") and self.rng.random() < 0.6:
            return f"{self.rng.choice(['the ', '', ''])}{spoken(rest[0][0].header)} {rest[0][1]}"
        clauses = " ".join(self.clause(column, value) for column, value in rest)
        if not named:
            return f"the {self.rng.choice([self.table.noun] * 5 + ['row', 'entry'])} {clauses}"
        column, value = named[0]
        noun = self.rng.choice([spoken(column.header), self.table.noun])
        form = self.rng.choice(["{v}"] * 6 + ["the {n} {v}"] * 2 + ["the {n} named {v}", "{n} {v}"])
        return f"{form.format(n=noun, v=value)} {clauses}".strip()

    def names(self, column: Column) -> bool:
        """Whether the column names a row of this table."""
        return column.header == self.table.key

    def plural(self) -> str:
        """The rows' noun, in plural."""
        noun = self.table.noun
        if noun in ("species", "series"):
            return noun
        if noun.endswith("y"):
            return noun[:-1] + "ies"
        return noun + ("es" if noun.endswith(("ch", "s")) else "s")


def sentence(text: str) -> str:
    """Text with a capital letter and single punctuation."""
    text = re.sub(r"\s*\.\.$", ".", text.strip())
    text = re.sub(r"\.\. (?=[A-Z])", ". ", text)
    return text[:1].upper() + text[1:]
