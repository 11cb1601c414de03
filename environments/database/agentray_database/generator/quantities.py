"""Numbers, money and measures: each function fixes a style and returns a maker of cells."""

from __future__ import annotations

import random
from collections.abc import Callable

Maker = Callable[[int], str]
"""From a row's index, from 0, to its cell."""
Style = Callable[[random.Random, list[str]], Maker]
"""Fixes the style of a column, given the arguments of its kind."""


def _serial(rng: random.Random, arguments: list[str]) -> Maker:
    end, first = "." if rng.random() < 0.08 else "", rng.choice([1, 1, 1, 1, 3, 11, 20])
    return lambda row: f"{first + row}{end}"


def _int(rng: random.Random, arguments: list[str]) -> Maker:
    low, high = map(int, arguments)
    return lambda row: str(rng.randint(low, high))


def _year(rng: random.Random, arguments: list[str]) -> Maker:
    low, high = map(int, arguments)
    return lambda row: str(rng.randint(low, high))


def _big(rng: random.Random, arguments: list[str]) -> Maker:
    low, high = map(int, arguments)
    form = rng.choice(["{:,}", "{:,}", "{:,}", "{}"])
    return lambda row: form.format(round(low * (high / low) ** rng.random()))


def _dec(rng: random.Random, arguments: list[str]) -> Maker:
    low, high, digits = float(arguments[0]), float(arguments[1]), int(arguments[2])
    return lambda row: f"{rng.uniform(low, high):.{digits}f}"


def _bigdec(rng: random.Random, arguments: list[str]) -> Maker:
    low, high = map(int, arguments)
    form = rng.choice(["{:,.0f}", "{:,.1f}", "{:.2f}", "{:,.0f}"])
    return lambda row: form.format(low * (high / low) ** rng.random())


def _signed(rng: random.Random, arguments: list[str]) -> Maker:
    limit = int(arguments[0])
    return lambda row: f"{rng.randint(-limit, limit):+d}"


def _money(rng: random.Random, arguments: list[str]) -> Maker:
    sign, scale = rng.choice("$$$€£"), rng.choice([" million", " billion", "M", "m"])
    return lambda row: f"{sign}{rng.uniform(1, 480):.1f}{scale}"


def _fee(rng: random.Random, arguments: list[str]) -> Maker:
    sign, form = rng.choice("£€$"), rng.choice(["{s}{a:.1f}m", "{s}{b:,}", "{s}{c}k", "{s}{a:.2f} million"])
    free = ["Free", "Undisclosed", "Loan"] if rng.random() < 0.4 else []

    def cell(row: int) -> str:
        if free and rng.random() < 0.25:
            return rng.choice(free)
        return form.format(
            s=sign, a=rng.uniform(0.2, 60), b=rng.randint(5, 900) * 1000, c=rng.randint(20, 900)
        )

    return cell


def _lead(form: str, low: int, high: int) -> Style:
    """Whole numbers in `low..high`, written in one of the forms (separated by "|")."""
    forms = form.split("|")

    def styled(rng: random.Random, arguments: list[str]) -> Maker:
        chosen = rng.choice(forms)
        return lambda row: chosen.format(rng.randint(low, high))

    return styled


def _height(rng: random.Random, arguments: list[str]) -> Maker:
    style = rng.choice(["m", "cm", "plain"])

    def cell(row: int) -> str:
        centimetres = rng.randint(158, 212)
        return {
            "m": f"{centimetres / 100:.2f} m",
            "cm": str(centimetres),
            "plain": f"{centimetres / 100:.2f}",
        }[style]

    return cell


def _tower_height(rng: random.Random, arguments: list[str]) -> Maker:
    form = rng.choice(["{f} / {m}", "{f} ({m})", "{m} m ({f} ft)", "{m}", "{m} metres", "{f} ft ({m} m)"])

    def cell(row: int) -> str:
        metres = rng.randint(38, 520)
        return form.format(m=metres, f=round(metres * 3.2808))

    return cell


def _meters(rng: random.Random, arguments: list[str]) -> Maker:
    low, high = map(int, arguments)
    form = rng.choice(["{:,}", "{:,} m", "{}", "{:,} ft"])
    return lambda row: form.format(rng.randint(low, high))


def _weight(rng: random.Random, arguments: list[str]) -> Maker:
    form = rng.choice(["{:.1f} kg", "{:.2f}", "{:.1f} lb"])
    return lambda row: form.format(rng.uniform(0.4, 95))


def _percent(rng: random.Random, arguments: list[str]) -> Maker:
    form = rng.choice(["{:.1f}%", "{:.2f}", "{:.0f}%", "{:.1f} %"])
    return lambda row: form.format(rng.uniform(1, 99))


def _change(rng: random.Random, arguments: list[str]) -> Maker:
    form = rng.choice(["{:+.1f}%", "{:.1f}%", "{:+.2f}"])
    return lambda row: form.format(rng.uniform(-19, 31))


def _amount(rng: random.Random, arguments: list[str]) -> Maker:
    bracket = rng.random() < 0.5

    def cell(row: int) -> str:
        amount = rng.choice([rng.randint(1, 99), rng.randint(100, 9999)])
        negative = rng.random() < 0.15
        return (f"({amount:,})" if bracket else f"-{amount:,}") if negative else f"{amount:,}"

    return cell


QUANTITIES: dict[str, Style] = {
    "serial": _serial,
    "int": _int,
    "year": _year,
    "big": _big,
    "dec": _dec,
    "bigdec": _bigdec,
    "signed": _signed,
    "money": _money,
    "fee": _fee,
    "height": _height,
    "towerheight": _tower_height,
    "meters": _meters,
    "weight": _weight,
    "percent": _percent,
    "change": _change,
    "amount": _amount,
    "price": _lead("${}.99|{}.00|€{}|${}", 4, 990),
    "dollars": _lead("${0},450|${0},108|{0},900", 11, 88),
    "cc": _lead("{} cc|{} cm³|{}", 490, 4900),
    "horsepower": _lead("{} hp|{} PS|{} kW", 18, 440),
    "speed": _lead("{} km/h|{} mph|{}", 71, 290),
    "fleet": _lead("{}|No. {}|D{}", 10, 9990),
}
