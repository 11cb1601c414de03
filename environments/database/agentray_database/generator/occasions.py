"""Dates, years and times: each function fixes a style and returns a maker of cells."""

# ruff: noqa: RUF001  (tables use en dashes and minus signs)
from __future__ import annotations

import random

from agentray_database.generator.quantities import Maker, Style

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def _date(rng: random.Random, arguments: list[str]) -> Maker:
    form = rng.choice(
        [
            "{m} {d}, {y}",
            "{d} {m} {y}",
            "{m} {d}, {y}",
            "{y}-{n:02}-{d:02}",
            "{s} {d}, {y}",
            "{d}/{n}/{y}",
            "{m} {d}",
        ]
    )
    first = rng.choice([1897, 1931, 1956, 1974, 1988, 1999, 2003, 2009, 2015])
    span = rng.choice([0, 0, 3, 30])

    def cell(row: int) -> str:
        month = rng.randrange(12)
        name, year = _MONTHS[month], first + rng.randint(0, span)
        return form.format(m=name, s=name[:3], n=month + 1, d=rng.randint(1, 28), y=year)

    return cell


def _shortdate(rng: random.Random, arguments: list[str]) -> Maker:
    months = rng.choice(
        [["April", "May", "June"], ["June", "July", "August"], ["September", "October", "November"]]
    )
    short = rng.random() < 0.3
    return lambda row: f"{rng.choice(months)[: 3 if short else 9]} {rng.randint(1, 30)}"


def _years(rng: random.Random, arguments: list[str]) -> Maker:
    dash, low = rng.choice(["–", "-", " - ", " to "]), rng.choice([1740, 1890, 1950, 1985])

    def cell(row: int) -> str:
        start = low + rng.randint(0, 30)
        return f"{start}{dash}{start + rng.randint(1, 28)}"

    return cell


def _yearlist(rng: random.Random, arguments: list[str]) -> Maker:
    separator = rng.choice([", ", " , ", ", "])
    return lambda row: separator.join(
        map(str, sorted(rng.sample(range(1961, 2020), rng.choice([1, 1, 2, 3]))))
    )


def _hour(rng: random.Random, arguments: list[str]) -> Maker:
    if rng.random() < 0.7:
        return lambda row: f"{rng.randint(1, 23):02}:{rng.randint(0, 59):02}"
    return lambda row: f"{rng.randint(1, 12)}:{rng.randint(0, 59):02} {rng.choice(['am', 'pm'])}"


def _clock(rng: random.Random, arguments: list[str]) -> Maker:
    return lambda row: f"{rng.randint(0, 5)}:{rng.randint(0, 59):02}"


def _race_time(rng: random.Random, arguments: list[str]) -> Maker:
    return lambda row: f"{rng.randint(1, 4)}:{rng.randint(0, 59):02}.{rng.randint(0, 99):02}"


def _gap(rng: random.Random, arguments: list[str]) -> Maker:
    out = ["Engine", "Accident", "+1 lap", "Gearbox", "Retired", "DNF", "Fuel leak", "Did not start"]

    def cell(row: int) -> str:
        if rng.random() < 0.3:
            return rng.choice(out)
        return f"+{rng.choice(['', '1:'])}{rng.randint(1, 59)}.{rng.randint(0, 999):03}"

    return cell


OCCASIONS: dict[str, Style] = {
    "date": _date,
    "shortdate": _shortdate,
    "years": _years,
    "yearlist": _yearlist,
    "hour": _hour,
    "clock": _clock,
    "duration": _clock,
    "racetime": _race_time,
    "gap": _gap,
}
