"""Sports results: each function fixes a style and returns a maker of cells."""

# ruff: noqa: RUF001  (tables use en dashes and minus signs)
from __future__ import annotations

import random

from agentray_database.generator.quantities import Maker, Style


def _score(rng: random.Random, arguments: list[str]) -> Maker:
    dash, high = rng.choice(["–", "-", " - ", "–", "-", ":"]), rng.choice([5, 5, 9, 42, 118])
    letters = rng.random() < 0.3
    low = high * 6 // 10 if high > 40 else 0

    def cell(row: int) -> str:
        ours, theirs = rng.randint(low, high), rng.randint(low, high)
        outcome = "W" if ours > theirs else "L" if ours < theirs else "D"
        extra = " (OT)" if rng.random() < 0.04 else ""
        return f"{outcome + ' ' if letters else ''}{ours}{dash}{theirs}{extra}"

    return cell


def _record(rng: random.Random, arguments: list[str]) -> Maker:
    dash, ties = rng.choice("–-"), rng.random() < 0.3
    return lambda row: dash.join(str(rng.randint(0, n)) for n in ((40, 38, 6) if ties else (55, 50)))


def _goals(rng: random.Random, arguments: list[str]) -> Maker:
    def cell(row: int) -> str:
        goals, behinds = rng.randint(3, 24), rng.randint(2, 21)
        return f"{goals}.{behinds} ({6 * goals + behinds})"

    return cell


def _ordinal_text(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _ordinal(rng: random.Random, arguments: list[str]) -> Maker:
    high, short = int(arguments[0]), rng.random() < 0.15
    return lambda row: str(rng.randint(1, high)) if short else _ordinal_text(rng.randint(1, high))


def _sets(rng: random.Random, arguments: list[str]) -> Maker:
    dash = rng.choice("–-")

    def one() -> str:
        games = [rng.choice([6, 6, 6, 7]), rng.randint(0, 5)]
        rng.shuffle(games)
        return f"{games[0]}{dash}{games[1]}"

    return lambda row: ", ".join(one() for _ in range(rng.choice([2, 2, 3])))


def _rounds(rng: random.Random, arguments: list[str]) -> Maker:
    def cell(row: int) -> str:
        scores = [rng.randint(64, 78) for _ in range(rng.choice([2, 3, 4]))]
        return f"{'-'.join(map(str, scores))}={sum(scores)}"

    return cell


def _tied(rng: random.Random, arguments: list[str]) -> Maker:
    return lambda row: f"{rng.choice(['T', '', ''])}{row + 1}"


def _mark(rng: random.Random, arguments: list[str]) -> Maker:
    forms = [
        "{a:.2f} m",
        "{b}.{c:02} s",
        "{d}:{b:02}.{c:02}",
        "{e} pts",
        "{b}.{c:02} (wind: +{d}.{d} m/s)",
        "-",
    ]
    form = rng.choice(forms[:5])

    def cell(row: int) -> str:
        chosen = "-" if rng.random() < 0.08 else form
        return chosen.format(
            a=rng.uniform(1.6, 80),
            b=rng.randint(10, 59),
            c=rng.randint(0, 99),
            d=rng.randint(1, 4),
            e=rng.randint(4200, 8800),
        )

    return cell


def _mark2(rng: random.Random, arguments: list[str]) -> Maker:
    return lambda row: f"{rng.randint(4, 208)}{rng.choice(['', '', '*'])}"


def _par(rng: random.Random, arguments: list[str]) -> Maker:
    minus = rng.choice("-–−")

    def cell(row: int) -> str:
        par = rng.randint(-18, 9)
        return "E" if par == 0 else f"+{par}" if par > 0 else f"{minus}{-par}"

    return cell


RESULTS: dict[str, Style] = {
    "score": _score,
    "record": _record,
    "goals": _goals,
    "ordinal": _ordinal,
    "sets": _sets,
    "rounds": _rounds,
    "tied": _tied,
    "mark": _mark,
    "mark2": _mark2,
    "par": _par,
}
