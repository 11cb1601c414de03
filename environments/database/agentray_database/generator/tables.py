"""Random tables in the manner of Wikipedia's, drawn from the domains of `domains.toml`."""

# ruff: noqa: RUF001  (cells hold en dashes)
from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace

from agentray_database.generator.kinds import NUMBERS, make
from agentray_database.generator.pools import Pools, load, share
from agentray_database.generator.quantities import Maker

_SMALL = frozenset({"of", "in", "and", "by", "for", "to", "the"})
_BLANKS = ("", "", "-", "—", "n/a", "–")
_NUM_COLUMNS = (3,) * 4 + (4,) * 8 + (5,) * 10 + (6,) * 7 + (7,) * 3 + (8,)
"""AgentBench's tables have 5.7 columns on average; ours have 5, because every column costs tokens."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its header, and how a sentence may speak of it."""

    header: str
    kind: str
    clauses: tuple[str, ...]
    """What may follow a row's noun, e.g. `against {v}`."""
    verbs: tuple[str, ...]
    """What may follow a row's noun as its verb, e.g. `ended {v}`."""
    questions: tuple[str, ...]
    superlatives: tuple[str, ...]
    """Nothing, or the words for the largest and for the smallest."""
    make: Maker
    """Makes the cell of a further row."""
    cells: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether every cell reads as a number after its commas are taken out."""
        return self.kind in NUMBERS and all(re.fullmatch(r"[\d.,]+", cell) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its first column names a row unless the rows are events."""

    name: str
    noun: str
    key: str | None
    """Header of the column that names a row; None when rows are events."""
    columns: tuple[Column, ...]

    @property
    def headers(self) -> list[str]:
        """The headers, in order."""
        return [column.header for column in self.columns]

    @property
    def rows(self) -> list[list[str]]:
        """The cells, row by row."""
        return [list(row) for row in zip(*(column.cells for column in self.columns), strict=True)]


def draw_table(rng: random.Random, pools: Pools, most_columns: int = 8) -> Table:
    """A table of a random domain that belongs to the split of `pools`."""
    domains = [d for d in load("domains.toml").values() if d.get("split", pools.split) == pools.split]
    domain = rng.choice(domains)
    specs: list[str] = domain["columns"]
    count = min(rng.choice(_NUM_COLUMNS), len(specs), most_columns)
    chosen = sorted(rng.sample(range(1, len(specs)), count - 1))
    if rng.random() < 0.2:
        rng.shuffle(chosen)
    style = rng.choice(["as is"] * 14 + ["snake", "lower", "UPPER", "Title"])
    columns: list[Column] = []
    for position in [0, *chosen]:
        column = _column(specs[position], [column.header.lower() for column in columns], style, (rng, pools))
        columns += [column] if column else []
    key = None if domain.get("event", False) else columns[0].header
    num_rows = rng.randint(6, 32)
    columns = [replace(c, cells=_cells(c, num_rows, c.header == key, rng)) for c in columns]
    shortest = min(len(column.cells) for column in columns)
    columns = [replace(column, cells=column.cells[:shortest]) for column in columns]
    if len(columns) > 3 and rng.random() < 0.15:
        columns.insert(1, columns.pop(0))
    name = table_name(domain["tables"], rng, pools)
    return Table(name, domain["row"], key, tuple(columns))


def table_name(bases: list[str], rng: random.Random, pools: Pools) -> str:
    """A name in one of many styles; its base belongs to the split."""
    base = rng.choice(share(bases, pools.split))
    year = rng.randint(1960, 2023)
    if rng.random() < 0.28:
        place = pools.name(rng)
        forms = [
            "{p} {b}",
            "{b} of {p}",
            "{y} {b}",
            "{b} {y}",
            "{b} ({y})",
            "{b} in {p}",
            "{y}–{z} {b}",
            "{p} {b}, {y}",
        ]
        base = rng.choice(forms).format(p=place, b=base, y=year, z=(year + 1) % 100)
    words = [word for word in re.split(r"[^\w']+", base) if word]
    styles = {
        "title": " ".join(
            word if word in _SMALL else word[:1].upper() + word[1:] for word in base.split(" ")
        ),
        "snake": "_".join(words).lower(),
        "Snake": "_".join(words),
        "camel": "".join(word[:1].upper() + word[1:] for word in words),
        "table": f"{base} Table",
        "numbered": "_".join(words) + f"_{rng.randint(0, 9)}",
        "as is": base,
    }
    return styles[rng.choices(list(styles), (11, 4, 1, 1, 2, 1, 1))[0]]


def _column(spec: str, taken: list[str], style: str, draw: tuple[random.Random, Pools]) -> Column | None:
    """A column without cells, from its line in `domains.toml`; None when all its headers are taken."""
    fields = [[part.strip() for part in field.split(";") if part.strip()] for field in spec.split("|")]
    headers, kind, clauses, questions, superlatives = [*fields, [], [], []][:5]
    free = [styled for header in headers if (styled := _restyled(header, style)).lower() not in taken]
    if not free:
        return None
    return Column(
        header=draw[0].choice(free),
        kind=kind[0].split()[0],
        clauses=tuple(clause for clause in clauses if clause[0] != "~" and clause != "{v}"),
        verbs=tuple(clause[1:] for clause in clauses if clause[0] == "~"),
        questions=tuple(questions),
        superlatives=tuple(superlatives),
        make=make(kind[0], *draw),
    )


def _cells(column: Column, num_rows: int, is_key: bool, rng: random.Random) -> tuple[str, ...]:
    """Cells for a column: without repeats for a key, with blanks now and then for the rest."""
    cells = [column.make(row) for row in range(num_rows)]
    if is_key:
        return tuple(dict.fromkeys(cells))
    if column.kind != "serial" and rng.random() < 0.15:
        blank = rng.choice(_BLANKS)
        cells = [blank if rng.random() < 0.12 else cell for cell in cells]
    return tuple(cells)


def _restyled(header: str, style: str) -> str:
    if style == "snake":
        return re.sub(r"_+", "_", re.sub(r"[^\w]+", "_", header.lower())).strip("_") or header
    title = " ".join(word[:1].upper() + word[1:] for word in header.split(" "))
    return {"lower": header.lower(), "UPPER": header.upper(), "Title": title}.get(style, header)
