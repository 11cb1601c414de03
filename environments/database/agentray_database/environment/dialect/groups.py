"""Calls of aggregates, over groups and over windows."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from agentray_database.environment.dialect.aggregates import WINDOWED
from agentray_database.environment.dialect.faults import fault, unsupported
from agentray_database.environment.dialect.syntax import only
from agentray_database.environment.dialect.typed import (
    MOMENTS,
    Typed,
    check_count,
    convert,
    literal,
    to_double,
    to_text,
)

if TYPE_CHECKING:
    from agentray_database.environment.dialect.expressions import Compiler

_STATISTICS = {
    "std": "a_std", "stddev": "a_std", "stddev_pop": "a_std", "stddev_samp": "a_std_samp",
    "variance": "a_var", "var_pop": "a_var", "var_samp": "a_var_samp",
}  # fmt: skip
AGGREGATED = frozenset({"count", "sum", "avg", "min", "max", *_STATISTICS})
"""Functions over a group of rows, called by name."""
RANKS = frozenset({"row_number", "rank", "dense_rank"})
"""Functions that only a window has."""


def aggregate(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    """COUNT, SUM, AVG, MIN, MAX and the statistics."""
    distinct = bool(nodes) and isinstance(nodes[0], exp.Distinct)
    arguments = nodes[0].expressions if distinct else nodes
    if name == "count" and len(arguments) == 1 and isinstance(arguments[0], exp.Star) and not distinct:
        _enter(compiler)
        return Typed("count(*)", "int")
    values = _inside(compiler, arguments)
    check_count(name.upper(), len(values), 1, 1000 if name == "count" and distinct else 1)
    if name == "count":
        keys = ", ".join(map(_key, values))
        sql = f"coalesce(a_count_distinct({keys}), 0)" if distinct else f"count({values[0].sql})"
        return Typed(sql, "int")
    value = values[0]
    if value.kind == "str" and value.scale == 0 and name not in ("min", "max"):
        raise unsupported("arithmetic with CAST AS CHAR, where MariaDB drops the fraction")
    if name in ("min", "max"):
        plain = "tied" if compiler.scope.groups else "text"
        order = {"dec": "decimal", "str": "binary" if value.binary else plain}.get(value.kind, "raw")
        return replace(value, sql=f"a_{name}_{order}({value.sql})", bare=False, constant=None)
    mark = "DISTINCT " if distinct else ""
    if name in _STATISTICS:
        scale = 0 if value.kind == "int" else value.scale if value.kind in ("dec", "dbl") else None
        sql = f"{_STATISTICS[name]}({mark}{to_double(value, compiler.strict).sql})"
        return Typed(sql, "dbl", None if scale is None else scale + 4)
    return _sum(compiler, name, value, mark)


def _sum(compiler: Compiler, name: str, value: Typed, mark: str) -> Typed:
    if value.kind in MOMENTS:
        raise unsupported(f"{name.upper()} of dates")
    if value.kind in ("int", "dec"):
        scale = value.scale or 0
        exact = convert(value, "dec", scale, compiler.strict).sql
        exact = f"m_decimal_key({exact})" if mark else exact
        return Typed(f"a_{name}_dec({mark}{exact})", "dec", min(scale + 4, 38) if name == "avg" else scale)
    if mark and value.kind == "dbl" and value.scale is not None:
        value = replace(value, sql=f"m_fitting({value.sql}, {value.scale})")
    fixed = value.scale if value.kind == "dbl" else None
    fixed = fixed + 4 if fixed is not None and name == "avg" else fixed
    return Typed(
        f"a_{name}_{'set' if mark else 'dbl'}({mark}{to_double(value, compiler.strict).sql})", "dbl", fixed
    )


def _key(value: Typed) -> str:
    if value.kind == "str":
        return f"m_text_key({value.sql}, {value.binary:d})"
    if value.kind == "dbl" and value.scale is not None:
        return f"m_fitting({value.sql}, {value.scale})"
    return f"m_decimal_key({value.sql})" if value.kind == "dec" else value.sql


def _enter(compiler: Compiler) -> None:
    if not compiler.aggregates:
        raise fault(1111, "HY000", "Invalid use of group function")
    compiler.scope.aggregated = True


def _inside(compiler: Compiler, nodes: list[Any]) -> list[Typed]:
    """The arguments of an aggregate, which hold no other."""
    _enter(compiler)
    compiler.aggregates, before = False, compiler.scope.reaches_out
    compiler.scope.reaches_out = False
    try:
        values = [compiler.compile(node) for node in nodes]
        if compiler.scope.reaches_out and not any(value.bare for value in values):
            raise unsupported("an aggregate over an outer query")
        compiler.scope.reaches_out = before or compiler.scope.reaches_out
        return values
    finally:
        compiler.aggregates = True


def group_concat(compiler: Compiler, node: exp.Expression) -> Typed:
    """GROUP_CONCAT."""
    only(node, "this", "separator")
    ordered: list[Any] = []
    inner, separator = node.this, node.args.get("separator")
    if isinstance(inner, exp.Order):
        ordered, inner = inner.expressions, inner.this
    distinct = isinstance(inner, exp.Distinct)
    texts = inner.expressions if distinct else [inner]
    values = _inside(compiler, [*texts, *(each.this for each in ordered)])
    if separator is not None and not isinstance(separator, exp.Literal):
        raise unsupported("a computed SEPARATOR")
    keys = values[len(texts) :]
    if any(each.kind == "int" and each.constant for each in keys):
        raise unsupported("ORDER BY a position in GROUP_CONCAT")
    orders = " ".join(
        _order(key) + ("-" if each.args.get("desc") else "+") for key, each in zip(keys, ordered, strict=True)
    )
    joined = [to_text(value).sql for value in values[: len(texts)]]
    text = joined[0] if len(joined) == 1 else f"f_concat({', '.join(joined)})"
    for value in values:
        if value.kind == "dbl" and value.scale is not None:
            text = text.replace(value.sql, f"m_fitting({value.sql}, {value.scale})")
    head = f"{literal(separator.name if separator is not None else ',')}, {distinct:d}, '{orders}', {text}"
    return Typed(f"a_group_concat({', '.join([head, *(key.sql for key in keys)])})", "str")


def _order(value: Typed) -> str:
    return {"str": "binary" if value.binary else "text", "dec": "decimal"}.get(value.kind, "raw")


def window(compiler: Compiler, node: exp.Expression) -> Typed:
    """A rank or an aggregate OVER a window with its default frame."""
    only(node, "this", "partition_by", "order", "over")
    if not compiler.aggregates or compiler.clause not in ("field list", "order clause"):
        raise fault(4015, "HY000", "Window function is allowed only in SELECT list and ORDER BY clause")
    name = str(node.this.this).lower() if isinstance(node.this, exp.Anonymous) else ""
    aggregated = compiler.scope.aggregated
    if name in RANKS:
        check_count(name.upper(), len(node.this.expressions), 0, 0)
        result = Typed(f"{name}()", "int")
    elif name in AGGREGATED:
        arguments = node.this.expressions
        result = aggregate(compiler, name, arguments)
        compiler.scope.aggregated = aggregated
        function = re.match(r"\w+", result.sql)
        if (
            function is None
            or (function.group() not in WINDOWED and function.group() != "count")
            or "DISTINCT" in result.sql[:30]
        ):
            raise unsupported(f"{name.upper()} OVER a window")
    else:
        raise unsupported(f"{name.upper()} OVER a window")
    parts = [compiler.compile(each) for each in node.args.get("partition_by") or []]
    order = node.args.get("order")
    keys = (
        [(compiler.compile(each.this), bool(each.args.get("desc"))) for each in order.expressions]
        if order
        else []
    )
    over = ("PARTITION BY " + ", ".join(part.sql + part.collate for part in parts)) if parts else ""
    if keys:
        over += " ORDER BY " + ", ".join(
            key.sql + key.collate + (" DESC" if desc else "") for key, desc in keys
        )
    bare = any(part.bare for part in parts) or any(key.bare for key, _ in keys)
    return replace(result, sql=f"{result.sql} OVER ({over})", bare=bare)
