"""Literals of MySQL, with the type that each has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from agentray_database.environment.dialect.faults import out_of_range, syntax, unsupported
from agentray_database.environment.dialect.typed import Typed, literal

if TYPE_CHECKING:
    from agentray_database.environment.dialect.expressions import Compiler


def literal_value(compiler: Compiler, node: exp.Expression) -> Typed:
    """A text or a number: whole up to 64 bits, else a decimal as written, or a double with an exponent.

    Raises:
        StatementError: The text is not a number, or is one beyond MySQL's decimals.
    """
    text = node.name
    if node.args.get("is_string") or isinstance(node, exp.National):
        return Typed(literal(text), "str", constant=text)
    if not re.fullmatch(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", text, re.ASCII):
        raise syntax(text)
    if "e" in text.lower():
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise out_of_range("DOUBLE")
        return Typed(repr(value), "dbl", constant=text)
    if text.isdigit() and int(text) < 2**63:
        return Typed(str(int(text)), "int", constant=str(int(text)))
    whole, _, rest = text.partition(".")
    if len(whole) + len(rest) > 65 or len(rest) > 38:
        raise unsupported(f"the number {text}")
    digits = f"{int(whole or '0')}.{rest}" if rest else str(int(whole))
    big = text.isdigit() and int(whole) < 2**64
    return Typed(literal(digits), "dec", len(rest), unsigned=big, constant=digits)
