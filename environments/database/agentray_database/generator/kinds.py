"""Kinds of table columns: each fixes its style once for a table and then makes one cell a row.

A kind is named in `domains.toml`, with arguments after its name: `int 0 30`, `dec 87 108 1`, `pick A, B, C`.
"""

# ruff: noqa: RUF001, RUF002  (tables use en dashes and minus signs)
from __future__ import annotations

import random

from agentray_database.generator.names import NAMERS, person
from agentray_database.generator.occasions import OCCASIONS
from agentray_database.generator.pools import Pools
from agentray_database.generator.quantities import QUANTITIES, Maker, Style
from agentray_database.generator.results import RESULTS

NUMBERS = frozenset({"int", "big", "dec", "bigdec", "year"})
"""Kinds that `REPLACE(column, ',', '') + 0` reads exactly in every row."""
RANKABLE = NUMBERS | {"serial", "height", "meters", "weight", "towerheight"}
"""Kinds that sort by their leading number."""
NAMING = frozenset(NAMERS) - {"note", "filmnote", "candidates", "career", "persons"}
"""Kinds whose values say by themselves what they are, so that a request may leave the column unnamed."""


def make(kind: str, rng: random.Random, pools: Pools) -> Maker:
    """The maker of a column's cells, in a style drawn now.

    Args:
        kind: Name and arguments as written in `domains.toml`.
        rng: Source of style and values.
        pools: Vocabulary of the split.
    """
    name, _, arguments = kind.partition(" ")
    if name in NAMERS:
        return lambda row: NAMERS[name](rng, pools)
    if name == "pick":
        choices = [choice.strip() for choice in arguments.split(", ")]
        return lambda row: rng.choice(choices)
    if name in ("stat", "pitcher"):
        return _counted(name, arguments, rng, pools)
    if name == "authority":
        return lambda row: f"{person(rng, pools).split()[-1]}, {rng.randint(1758, 1990)}"
    return _STYLES[name](rng, arguments.split())


def _counted(name: str, arguments: str, rng: random.Random, pools: Pools) -> Maker:
    """`Holm (24)` for a scorer, `Holm (4–2)` for a pitcher."""
    if name == "pitcher":
        dash = rng.choice("-–")
        return lambda row: f"{pools.word('last', rng)} ({rng.randint(0, 15)}{dash}{rng.randint(0, 12)})"
    low, high = map(int, arguments.split())
    whole = rng.random() < 0.5
    return lambda row: (
        f"{person(rng, pools) if whole else pools.word('last', rng)} ({rng.randint(low, high)})"
    )


def _pattern(rng: random.Random, arguments: list[str]) -> Maker:
    """`A` becomes a letter and `#` a digit."""

    def cell(row: int) -> str:
        letters = [rng.choice("ABCDEFGHIJKLMNOPRSTUVWXYZ") if c == "A" else c for c in " ".join(arguments)]
        return "".join(str(rng.randint(0, 9)) if c == "#" else c for c in letters)

    return cell


def _callsign(rng: random.Random, arguments: list[str]) -> Maker:
    return lambda row: rng.choice(
        [_pattern(rng, ["KAAA"]), _pattern(rng, ["WAAA"]), _pattern(rng, ["K###AA"])]
    )(row)


def _coordinates(rng: random.Random, arguments: list[str]) -> Maker:
    decimal = rng.random() < 0.4

    def cell(row: int) -> str:
        if decimal:
            return f"{rng.uniform(1, 70):.4f}°N {rng.uniform(1, 170):.4f}°W"
        return (
            f"{rng.randint(1, 70)}°{rng.randint(0, 59):02}′N {rng.randint(1, 170)}°{rng.randint(0, 59):02}′E"
        )

    return cell


def _one_of(*forms: str) -> Style:
    return lambda rng, arguments: lambda row: rng.choice(forms).format(rng.randint(1, 9))


_STYLES: dict[str, Style] = {
    **QUANTITIES,
    **OCCASIONS,
    **RESULTS,
    "code": _pattern,
    "callsign": _callsign,
    "coordinates": _coordinates,
    "round": _one_of("1R", "2R", "3R", "QF", "SF", "F", "W", "A", "Q1", "R16", "–"),
    "streak": _one_of("W{}", "L{}", "Won {}", "Lost {}"),
    "refs": _one_of("[{}]", "[1{}]"),
}
