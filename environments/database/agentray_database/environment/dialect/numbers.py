"""MySQL's operators and functions on numbers. Decimals are exact; text counts as a double."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

from agentray_database.environment.dialect import values
from agentray_database.environment.dialect.collation import like as matches
from agentray_database.environment.dialect.faults import fault, out_of_range, unsupported
from agentray_database.environment.dialect.functions import (
    double_result,
    function,
    helper,
    text_result,
    whole_result,
)
from agentray_database.environment.dialect.typed import Kind, Typed
from agentray_database.environment.dialect.values import Number, round_to

_EXACT = Context(prec=200)


@helper
def number(text: str | None, strict: int) -> float | None:
    """Text as a double."""
    return None if text is None else values.to_double(text, bool(strict))


@helper
def decimal(text: str | None, strict: int) -> Decimal | None:
    """Text as a decimal."""
    return None if text is None else values.to_decimal(text, bool(strict))


@helper
def integer(text: str | None, strict: int) -> int | None:
    """Text as a whole number."""
    return None if text is None else values.to_integer(text, bool(strict))


@helper
def double(text: str | None) -> float | None:
    """A decimal as a double."""
    return None if text is None else float(text)


@helper
def double_decimal(value: float | None) -> Decimal | None:
    """A double as a decimal."""
    return None if value is None else values.double_decimal(value)


@helper
def round_integer(value: Any, kind: str) -> int | None:
    """A decimal or a double as a whole number."""
    if value is None:
        return None
    return values.round_integer(Decimal(value) if kind == "dec" else float(value))


@helper
def decimal_text(text: str | None, scale: int) -> Decimal | None:
    """A decimal with exactly so many digits after the point."""
    return None if text is None else round_to(Decimal(text), scale)


@helper
def double_text(value: float | None, scale: int | None) -> str | None:
    """A double as MySQL prints it."""
    if scale is not None:
        value = fitting(value, scale)
    return None if value is None else values.double_text(value, scale)


@helper
def fitting(value: float | None, scale: int) -> float | None:
    """A double of fixed digits, unless it has more digits than MySQL's temporary tables keep."""
    if value is not None and abs(value) >= 10.0 ** (15 - scale):
        raise out_of_range("DOUBLE")
    return value


@helper
def within(value: float | None, low: float | None, high: float | None) -> bool | None:
    """BETWEEN of doubles: both ends are read, as MySQL does, whatever the first one says."""
    above = None if value is None or low is None else value >= low
    below = None if value is None or high is None else value <= high
    if above is False or below is False:
        return False
    return None if above is None or below is None else True


@helper
def decimal_key(text: str | None) -> str | None:
    """The same text for equal decimals."""
    return None if text is None else str(Decimal(text).normalize() + 0)


@helper
def compare(left: str | None, right: str | None) -> int | None:
    """-1, 0 or 1 for two decimals."""
    if left is None or right is None:
        return None
    first, second = Decimal(left), Decimal(right)
    return (first > second) - (first < second)


@helper
def like(text: str | None, pattern: str | None, escape: str, binary: int) -> bool | None:
    """`text LIKE pattern`."""
    return None if text is None or pattern is None else matches(text, pattern, escape, bool(binary))


@helper
def calculate(operator: str, left: Any, right: Any, kind: str, strict: int) -> Number | None:
    """`left operator right` for two numbers of one kind; NULL for a division by zero."""
    if left is None or right is None:
        return None
    kind, _, unsigned = kind.partition(" ")
    if kind == "dec":
        left, right = Decimal(left), Decimal(right)
    if operator in ("/", "%", "DIV") and right == 0:
        if strict:
            raise fault(1365, "22012", "Division by 0")
        return None
    with localcontext(_EXACT):
        result: Number = _OPERATIONS[operator](left, right)
    if unsigned and isinstance(result, int) and result < 0:
        raise out_of_range("BIGINT UNSIGNED")
    if operator == "DIV" and kind != "int" and not -(10**15) < result < 10**15:
        raise out_of_range("BIGINT")
    return result


def _quotient(left: Number, right: Number) -> Number:
    if isinstance(left, float) or isinstance(right, float):
        return float(left) / float(right)
    return values.divide(Decimal(left), Decimal(right))


def _remainder(left: Number, right: Number) -> Number:
    if isinstance(left, float) or isinstance(right, float):
        return math.fmod(left, right)
    if isinstance(left, int) and isinstance(right, int):
        return abs(left) % abs(right) * (1 if left >= 0 else -1)
    remainder = Decimal(left) % Decimal(right)
    if remainder.is_zero() and left < 0:
        raise unsupported("a remainder of minus zero")
    return remainder


def _whole_quotient(left: Number, right: Number) -> int:
    first, second = (values.double_decimal(v) if isinstance(v, float) else Decimal(v) for v in (left, right))
    return int(first / second)


_OPERATIONS: dict[str, Any] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _quotient,
    "%": _remainder,
    "DIV": _whole_quotient,
}


@helper
def negative(value: Any, kind: str) -> Number | None:
    """`-value`."""
    if value is None:
        return None
    return -(Decimal(value) if kind == "dec" else value)


def same_result(arguments: list[Typed]) -> tuple[Kind, int | None]:
    """A number of the first argument's kind and scale."""
    first = arguments[0]
    return first.kind, first.scale


def whole_or_double(arguments: list[Typed]) -> tuple[Kind, int | None]:
    """FLOOR and CEILING: a double stays one, without digits; all else becomes whole."""
    return ("dbl", 0) if arguments[0].kind == "dbl" else ("int", None)


def digits_of(arguments: list[Typed]) -> int:
    """The digits that ROUND and TRUNCATE keep, which a statement must give as a number.

    Raises:
        StatementError: They are computed, so that MySQL's result has no fixed scale.
    """
    if len(arguments) == 1:
        return 0
    given = arguments[1].constant
    if given is None or arguments[1].kind != "int":
        raise unsupported("ROUND or TRUNCATE to a computed number of digits")
    return int(given)


def rounded_result(arguments: list[Typed]) -> tuple[Kind, int | None]:
    """The first argument's kind with the digits asked for."""
    first, digits = arguments[0], digits_of(arguments)
    if first.kind == "dec":
        return "dec", min(max(digits, 0), 38)
    if first.kind == "dbl":
        return "dbl", max(digits, 0) if digits < 31 else None
    if first.kind == "int" and digits < 0 and first.constant is None:
        raise unsupported("ROUND or TRUNCATE of a computed whole number before the point")
    return first.kind, first.scale


def _to_digits(value: Number, digits: int, rounding: str) -> Number:
    if isinstance(value, Decimal):
        rounded = round_to(value, min(digits, 38), rounding)
        return rounded if digits >= 0 else round_to(rounded, 0)
    if isinstance(value, int):
        return value if digits >= 0 else int(round_to(Decimal(value), digits, rounding))
    if abs(digits) > 300:
        return value if digits > 0 else 0.0
    return _double_to_digits(value, digits, rounding)


def _double_to_digits(value: float, digits: int, rounding: str) -> float:
    """As MariaDB's `my_double_round`: scaled, cut or rounded to even, and scaled back."""
    power = 10.0 ** abs(digits)
    scaled = value * power if digits >= 0 else value / power
    if not math.isfinite(scaled) or not math.isfinite(power):
        return value
    whole = float(round(scaled)) if rounding == ROUND_HALF_UP else float(math.trunc(scaled))
    return whole / power if digits >= 0 else whole * power


@function("round", "n?i", rounded_result)
def _round(value: Number, digits: int = 0) -> Number:
    return _to_digits(value, digits, ROUND_HALF_UP)


@function("truncate", "ni", rounded_result)
def _truncate(value: Number, digits: int) -> Number:
    return _to_digits(value, digits, ROUND_DOWN)


@function("floor", "n", whole_or_double)
def _floor(value: Number) -> Number:
    if isinstance(value, Decimal):
        return int(value.to_integral_value(ROUND_FLOOR))
    return float(math.floor(value)) if isinstance(value, float) else value


@function("ceil ceiling", "n", whole_or_double)
def _ceil(value: Number) -> Number:
    if isinstance(value, Decimal):
        return int(value.to_integral_value(ROUND_CEILING))
    return float(math.ceil(value)) if isinstance(value, float) else value


@function("abs", "n", same_result)
def _abs(value: Number) -> Number:
    return -value if value < 0 else value


@function("sign", "n", whole_result)
def _sign(value: Number) -> int:
    return int(value > 0) - int(value < 0)


@function("pow power", "dd", double_result)
def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except (OverflowError, ValueError) as error:
        raise out_of_range("DOUBLE") from error


@function("sqrt", "d", double_result)
def _sqrt(value: float) -> float | None:
    return math.sqrt(value) if value >= 0 else None


@function("exp", "d", double_result)
def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError as error:
        raise out_of_range("DOUBLE") from error


@function("ln", "d", double_result)
def _ln(value: float) -> float | None:
    return math.log(value) if value > 0 else None


@function("log", "d?d", double_result)
def _log(first: float, second: float | None = None) -> float | None:
    if first <= 0 or (second is not None and (second <= 0 or first == 1)):
        return None
    return math.log(first) if second is None else math.log(second) / math.log(first)


@function("log10", "d", double_result)
def _log10(value: float) -> float | None:
    return math.log10(value) if value > 0 else None


@function("log2", "d", double_result)
def _log2(value: float) -> float | None:
    return math.log2(value) if value > 0 else None


@function("bin", "i", text_result)
def _bin(value: int) -> str:
    return format(value % 2**64, "b")
