"""CAST and CONVERT."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agentray_database.environment.dialect.faults import fault, out_of_range, syntax, truncated, unsupported
from agentray_database.environment.dialect.functions import helper
from agentray_database.environment.dialect.syntax import only, written
from agentray_database.environment.dialect.typed import (
    Typed,
    derived,
    to_decimal,
    to_double,
    to_integer,
    to_moment,
    to_text,
)
from agentray_database.environment.dialect.values import round_to

if TYPE_CHECKING:
    from sqlglot import exp

    from agentray_database.environment.dialect.expressions import Compiler


def cast(compiler: Compiler, node: exp.Expression) -> Typed:
    """CAST(x AS type), CONVERT(x, type), DATE '...', BINARY x.

    Raises:
        StatementError: MySQL casts to no such type, or it is not supported.
    """
    only(node, "this", "to")
    value, to = compiler.compile(node.this), node.args["to"]
    kind = to.this.name if hasattr(to.this, "name") else str(to.this)
    only(to, "this", "expressions", "kind", "nested")
    for each in to.expressions:
        only(each, "this")
    if kind == "CHARACTER_SET" and to.args["kind"].name.lower() not in ("utf8mb4", "utf8", "utf8mb3"):
        raise unsupported(f"CONVERT USING {to.args['kind'].name}")
    if not all(each.name.isdigit() for each in to.expressions):
        raise syntax(written(to))
    parameters = [int(each.name) for each in to.expressions]
    if kind in ("BIGINT", "UBIGINT"):
        return _integer(value, compiler.strict, kind == "UBIGINT")
    if kind == "DECIMAL":
        return _decimal(value, compiler.strict, parameters)
    if kind in ("CHAR", "NCHAR", "CHARACTER_SET"):
        return _text(value, parameters, compiler.strict)
    if kind in ("DATE", "DATETIME"):
        return _moment(value, compiler.strict, kind == "DATETIME")
    if kind == "DOUBLE":
        return to_double(replace(value, constant=None), compiler.strict)
    if kind == "BINARY" and value.kind == "str":
        return replace(value, binary=True, raw=True, constant=None)
    if kind in ("TIME", "BINARY", "FLOAT", "JSON", "YEAR"):
        raise unsupported(f"CAST AS {kind}")
    raise syntax(written(to) + ")")


def _integer(value: Typed, strict: bool, unsigned: bool) -> Typed:
    whole = to_integer(value, strict)
    sql = f"m_unsigned({whole.sql})" if unsigned else whole.sql
    return replace(derived(sql, "int", (value,)), unsigned=unsigned, binary=False)


def _decimal(value: Typed, strict: bool, parameters: list[int]) -> Typed:
    precision, scale = [*parameters, 10, 0][:2] if len(parameters) != 1 else [parameters[0], 0]
    if scale > precision:
        raise fault(1427, "42000", "For float(M,D), double(M,D) or decimal(M,D), M must be >= D (column '').")
    if precision > 65 or scale > 38 or precision == 0:
        raise fault(1426, "42000", f"Too big precision {precision} specified. Maximum is 65")
    sql = f"m_cast_decimal({to_decimal(value, strict).sql}, {precision}, {scale}, {strict:d})"
    return replace(derived(sql, "dec", (value,), scale), binary=False)


def _text(value: Typed, parameters: list[int], strict: bool) -> Typed:
    text = replace(to_text(value), constant=None, scale=0)
    return replace(text, sql=f"m_cut({text.sql}, {parameters[0]}, {strict:d})") if parameters else text


def _moment(value: Typed, strict: bool, timed: bool) -> Typed:
    moment = to_moment(value, strict)
    sql = f"m_midnight({moment.sql})" if timed else f"f_date({moment.sql})"
    return replace(derived(sql, "datetime" if timed else "date", (value,)), binary=False)


@helper
def cut(text: str | None, length: int, strict: int) -> str | None:
    """The first characters of a text; an error where MySQL is strict and some are lost."""
    if strict and text is not None and len(text) > length:
        raise truncated(f"CHAR({length})", text)
    return None if text is None else text[:length]


@helper
def unsigned(value: int | None) -> int | None:
    """A whole number that is not negative: MySQL's wraps round, ours says so."""
    if value is not None and value < 0:
        raise out_of_range("BIGINT UNSIGNED")
    return value


@helper
def cast_decimal(text: Any, precision: int, scale: int, strict: int) -> Decimal | None:
    """A decimal of so many digits; a greater one becomes the greatest, or an error where MySQL is strict."""
    if text is None:
        return None
    value = round_to(Decimal(text), scale)
    most = Decimal(10**precision - 1).scaleb(-scale)
    if abs(value) > most:
        if strict:
            raise fault(1264, "22003", "Out of range value for column")
        value = most.copy_sign(value)
    return value
