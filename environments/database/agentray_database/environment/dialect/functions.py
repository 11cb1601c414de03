"""MySQL's functions by name: what each takes, what it returns, and the Python that runs it inside SQLite."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agentray_database.environment.dialect.faults import out_of_range, too_big
from agentray_database.environment.dialect.typed import Kind, Typed
from agentray_database.environment.dialect.values import decimal_text, in_bigint

Body = Callable[..., Any]
Result = Callable[[list[Typed]], tuple[Kind, int | None]]
VALUE_LIMIT = 16_384
"""Longest value a function may make, in characters."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function.

    `takes` has a letter per argument: s text, i whole number, d double, n number as it is, t moment; letters
    after `?` may be absent, and `*` repeats the last letter.
    """

    name: str
    takes: str
    result: Result
    body: Body
    nulls: bool = False
    """Whether the body sees NULL; otherwise a NULL argument makes the result NULL."""

    def letters(self, count: int) -> str:
        """The letter of each of `count` arguments."""
        fixed = self.takes.replace("?", "").replace("*", "")
        return fixed + fixed[-1:] * (count - len(fixed)) if "*" in self.takes else fixed[:count]

    def bounds(self) -> tuple[int, int]:
        """Fewest and most arguments."""
        least = len(self.takes.replace("*", "").partition("?")[0])
        most = 1000 if "*" in self.takes else len(self.takes.replace("?", ""))
        return least, most


FUNCTIONS: dict[str, Function] = {}
"""Every function that a statement may call, by lower-case name."""
HELPERS: dict[str, Body] = {}
"""What compiled statements call besides: conversions and operators. They see NULL."""


def text_result(arguments: list[Typed]) -> tuple[Kind, int | None]:
    """The result is text."""
    return "str", None


def whole_result(arguments: list[Typed]) -> tuple[Kind, int | None]:
    """The result is a whole number."""
    return "int", None


def double_result(arguments: list[Typed]) -> tuple[Kind, int | None]:
    """The result is a double."""
    return "dbl", None


def date_result(arguments: list[Typed]) -> tuple[Kind, int | None]:
    """The result is a date."""
    return "date", None


def function(
    names: str, takes: str, result: Result = text_result, nulls: bool = False
) -> Callable[[Body], Body]:
    """Register a function under one or more names."""

    def register(body: Body) -> Body:
        for name in names.split():
            FUNCTIONS[name] = Function(name, takes, result, body, nulls)
        return body

    return register


def helper(body: Body) -> Body:
    """Register a helper under the name of its Python function."""
    HELPERS[body.__name__.strip("_")] = body
    return body


def bodies() -> dict[str, Body]:
    """What SQLite calls, by the name in compiled statements."""
    found: dict[str, Body] = {f"m_{name}": _encoded(body) for name, body in HELPERS.items()}
    found |= {f"f_{name}": _called(each) for name, each in FUNCTIONS.items()}
    return found


def _encoded(body: Body) -> Body:
    return lambda *values: encode(body(*values))


def _called(called: Function) -> Body:
    def call(*values: Any) -> Any:
        if not called.nulls and None in values:
            return None
        letters = called.letters(len(values))
        return encode(
            called.body(*(_decode(value, letter) for value, letter in zip(values, letters, strict=True)))
        )

    return call


def _decode(value: Any, letter: str) -> Any:
    if letter == "n" and isinstance(value, str):
        return Decimal(value)
    if letter == "t" and isinstance(value, str):
        return read_moment(value)
    return value


def read_moment(text: str) -> datetime.date:
    """A date, or a date with a time, from the text that statements carry."""
    if len(text) == 10:
        return datetime.date.fromisoformat(text)
    return datetime.datetime.fromisoformat(text)


def encode(value: Any) -> Any:
    """A result as SQLite holds it.

    Raises:
        StatementError: A number or a text is beyond MySQL's or the sandbox's limits.
    """
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return in_bigint(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise out_of_range("DOUBLE")
        return value + 0.0
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, str) and len(value) > VALUE_LIMIT:
        raise too_big()
    return value
