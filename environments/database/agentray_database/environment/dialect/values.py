"""Values as MySQL converts them: text to numbers by its longest numeric beginning, numbers to text."""

from __future__ import annotations

import math
import re
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, InvalidOperation, localcontext

from agentray_database.environment.dialect.faults import out_of_range, truncated

Number = int | float | Decimal

_NUMBER = re.compile(r"[ \t\n\r\v\f]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.ASCII)
_INTEGER = re.compile(r"[ \t\n\r\v\f]*([+-]?\d+)", re.ASCII)
_CONTEXT = Context(prec=200, rounding=ROUND_HALF_UP)
_MAX_DIGITS = 65
_BIGINT = range(-(2**63), 2**63)


def _check_rest(text: str, end: int, kind: str, strict: bool) -> None:
    if strict and (end == 0 or text[end:].strip(" ")):
        raise truncated(kind, text)


def to_double(text: str, strict: bool) -> float:
    """The number at the beginning of a text, 0 without one.

    Raises:
        StatementError: The text is not a number and MySQL is strict, as it is while it changes a table.
    """
    match = _NUMBER.match(text)
    _check_rest(text, match.end() if match else 0, "DOUBLE", strict)
    value = float(match.group(1)) if match else 0.0
    return math.copysign(1.7976931348623157e308, value) if math.isinf(value) else value


def to_decimal(text: str, strict: bool) -> Decimal:
    """The exact number at the beginning of a text, 0 without one.

    Raises:
        StatementError: As of `to_double`; or the number has more digits than MySQL's DECIMAL.
    """
    match = _NUMBER.match(text)
    _check_rest(text, match.end() if match else 0, "DECIMAL", strict)
    if match is None:
        return Decimal(0)
    value = Decimal(match.group(1))
    if abs(value.adjusted()) > _MAX_DIGITS:
        raise out_of_range("DECIMAL")
    return value


def to_integer(text: str, strict: bool) -> int:
    """The whole number at the beginning of a text, 0 without one; `2.75` is 2.

    Raises:
        StatementError: As of `to_double`; or the number needs more than 64 bits.
    """
    match = _INTEGER.match(text)
    _check_rest(text, match.end() if match else 0, "INTEGER", strict)
    value = int(match.group(1)[:40]) if match else 0
    return in_bigint(value)


def in_bigint(value: int) -> int:
    """The value itself.

    Raises:
        StatementError: It needs more than 64 bits.
    """
    if value not in _BIGINT:
        raise out_of_range("BIGINT")
    return value


def round_to(value: Decimal, digits: int, rounding: str = ROUND_HALF_UP) -> Decimal:
    """A decimal with so many digits after the point; half away from zero."""
    with localcontext(_CONTEXT) as context:
        try:
            rounded = value.quantize(Decimal(1).scaleb(-digits), rounding=rounding, context=context)
        except InvalidOperation as error:
            raise out_of_range("DECIMAL") from error
    return Decimal(0).scaleb(-digits) if rounded.is_zero() else rounded


def divide(left: Decimal, right: Decimal) -> Decimal:
    """MySQL's quotient: exact to a multiple of nine digits, the rest cut off.

    Source: MariaDB `strings/decimal.c`, `do_div_mod`, with `div_precision_increment` 4.
    """
    left_digits, right_digits = scale_of(left), scale_of(right)
    spare = _words(left_digits) - left_digits + _words(right_digits) - right_digits
    digits = _words(_words(left_digits) + _words(right_digits) + max(0, 4 - spare))
    with localcontext(_CONTEXT) as context:
        quotient = context.divide(left, right)
    return round_to(quotient, min(digits, 38), ROUND_DOWN)


def _words(digits: int) -> int:
    return -(-digits // 9) * 9


def scale_of(value: Decimal) -> int:
    """Digits after the point."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def decimal_text(value: Decimal) -> str:
    """A decimal as digits, without exponent.

    Raises:
        StatementError: It has more digits than MySQL's DECIMAL.
    """
    if len(value.as_tuple().digits) > _MAX_DIGITS + 15:
        raise out_of_range("DECIMAL")
    text = format(value, "f")
    return text[1:] if text[:1] == "-" and value.is_zero() else text


def double_text(value: float, digits: int | None = None) -> str:
    """A double as MySQL prints it: the shortest text that reads as the same number, or with fixed digits."""
    if value == 0:
        value = 0.0
    if digits is not None:
        return decimal_text(round_to(Decimal(repr(value)), digits))
    text = repr(value)
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    number = Decimal(text).normalize()
    exponent = number.adjusted()
    figures = "".join(map(str, number.as_tuple().digits))
    if -15 <= exponent < 0 or 0 <= exponent < 15 or (0 <= exponent < 17 and len(figures) > exponent):
        return sign + format(number, "f")
    mantissa = figures[0] + ("." + figures[1:] if figures[1:] else "")
    return f"{sign}{mantissa}e{exponent}"


def double_decimal(value: float) -> Decimal:
    """The decimal that MySQL makes of a double: its shortest text."""
    return to_decimal(repr(value), strict=False)


def round_integer(value: Number) -> int:
    """A number as a whole one: halves of a decimal away from zero, of a double to the even neighbour.

    Raises:
        StatementError: It needs more than 64 bits.
    """
    if isinstance(value, Decimal):
        return in_bigint(int(round_to(value, 0)))
    return in_bigint(round(value))
