"""Calls of functions and aggregates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from agentray_database.environment.dialect.aggregates import ORDERS
from agentray_database.environment.dialect.collation import weights
from agentray_database.environment.dialect.faults import denied, fault, unsupported
from agentray_database.environment.dialect.functions import FUNCTIONS, Function, helper
from agentray_database.environment.dialect.groups import AGGREGATED, RANKS, aggregate
from agentray_database.environment.dialect.moments import UNITS
from agentray_database.environment.dialect.syntax import only
from agentray_database.environment.dialect.typed import (
    MOMENTS,
    Kind,
    Typed,
    check_count,
    common,
    compared,
    convert,
    derived,
    to_double,
    to_integer,
    to_moment,
    to_text,
)

if TYPE_CHECKING:
    from agentray_database.environment.dialect.expressions import Compiler

_DENIED = frozenset({"load_extension", "load_file", "sleep", "benchmark", "get_lock"})
_ABSENT = """
    time timediff sec_to_time time_to_sec maketime addtime subtime timestamp uuid version database
    schema user current_user session_user connection_id last_insert_id row_count found_rows rand conv
    oct soundex unhex sha2 crc32 unix_timestamp from_unixtime period_add period_diff yearweek weekofyear
    bit_and bit_or bit_xor bit_count lag lead first_value last_value nth_value ntile percent_rank
    cume_dist char convert_tz utc_date utc_time utc_timestamp to_base64 from_base64 compress sin cos tan
    cot asin acos atan atan2 degrees radians pi values
"""
"""Functions of MySQL's that are not done here."""
_OPERATORS = {"mod": "%"}


def call(compiler: Compiler, node: exp.Expression) -> Typed:
    """A function or an aggregate by its name.

    Raises:
        StatementError: MySQL has no such function, or this database does not.
    """
    name = str(node.this).lower()
    if name in AGGREGATED:
        return aggregate(compiler, name, node.expressions)
    if name in RANKS:
        raise fault(4015, "HY000", f"Window function '{name}' requires OVER clause")
    if name in _SPECIAL:
        return _SPECIAL[name](compiler, name, node.expressions)
    if name in _DENIED:
        raise denied("EXECUTE")
    if name in _ABSENT.split() or name.startswith("json_"):
        raise unsupported(f"{name.upper()}()")
    if name not in FUNCTIONS or name.startswith("trim_"):
        raise fault(1305, "42000", f"FUNCTION {node.this} does not exist")
    return invoke(compiler, FUNCTIONS[name], [compiler.compile(each) for each in node.expressions])


def invoke(compiler: Compiler, called: Function, given: list[Typed]) -> Typed:
    """A function over arguments, each converted to what it takes."""
    check_count(called.name.upper(), len(given), *called.bounds())
    letters = called.letters(len(given))
    taken = [_argument(value, letter, compiler.strict) for value, letter in zip(given, letters, strict=True)]
    kind, scale = called.result(taken)
    result = derived(f"f_{called.name}({', '.join(value.sql for value in taken)})", kind, given, scale)
    return replace(result, binary=result.binary and kind == "str")


def _argument(value: Typed, letter: str, strict: bool) -> Typed:
    if letter == "s":
        return to_text(value)
    if letter == "i":
        return to_integer(value, strict)
    if letter == "d":
        return to_double(value, strict)
    if letter == "t":
        return to_moment(value, strict)
    if value.kind in MOMENTS:
        raise unsupported("arithmetic with a date")
    return to_double(value, strict) if value.kind in ("str", "null") else value


def _values(compiler: Compiler, name: str, nodes: list[Any], least: int, most: int) -> list[Typed]:
    check_count(name.upper(), len(nodes), least, most)
    return [compiler.compile(node) for node in nodes]


def _coalesce(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    values = _values(compiler, name, nodes, 2 if name == "ifnull" else 1, 2 if name == "ifnull" else 1000)
    kind, scale = common(values)
    same = ", ".join(convert(value, kind, scale, compiler.strict).sql for value in values)
    return derived(f"coalesce({same}, NULL)", kind, values, scale)


def _nullif(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    first, second = _values(compiler, name, nodes, 2, 2)
    equal = compared("=", first, second, compiler.strict)
    result = derived(
        f"(CASE WHEN {equal.sql} THEN NULL ELSE {first.sql} END)", first.kind, (first, second), first.scale
    )
    return replace(result, unsigned=first.unsigned, binary=first.binary)


def _isnull(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    (value,) = _values(compiler, name, nodes, 1, 1)
    return replace(derived(f"({value.sql} IS NULL)", "int", (value,)), binary=False)


def _extreme(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    """GREATEST and LEAST."""
    values = _values(compiler, name, nodes, 2, 1000)
    kinds = {value.kind for value in values} - {"null"}
    if len(kinds) > 1 and not kinds <= {"int", "dec", "dbl"}:
        raise unsupported(f"{name.upper()} of text and numbers together; add 0 to the text")
    kind, scale = common(values)
    same = [convert(value, kind, scale, compiler.strict) for value in values]
    order = {"str": "text", "dec": "decimal"}.get(kind, "raw")
    arguments = ", ".join(value.sql for value in same)
    return derived(f"m_extreme('{order}', {-1 if name == 'least' else 1}, {arguments})", kind, values, scale)


def _field(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    values = _values(compiler, name, nodes, 2, 1000)
    kinds = {value.kind for value in values}
    if "null" in kinds:
        raise unsupported("FIELD with NULL")
    if len(kinds) > 1 and "str" in kinds:
        values = [to_double(value, compiler.strict) for value in values]
    tests = [compared("=", values[0], value, compiler.strict) for value in values[1:]]
    whens = "".join(f" WHEN {test.sql} THEN {index}" for index, test in enumerate(tests, 1))
    return replace(derived(f"(CASE{whens} ELSE 0 END)", "int", values), binary=False)


def _operator(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    left, right = _values(compiler, name, nodes, 2, 2)
    return compiler.calculate(_OPERATORS[name], left, right)


def _shifted(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    """DATE_ADD, ADDDATE, DATE_SUB and SUBDATE."""
    check_count(name.upper(), len(nodes), 2, 2)
    interval = nodes[1]
    if not isinstance(interval, exp.Interval):
        interval = exp.Interval(this=interval, unit=exp.Var(this="DAY"))
    return shift(compiler, nodes[0], interval, -1 if "sub" in name else 1)


def shift(compiler: Compiler, start: exp.Expression, interval: exp.Expression, sign: int) -> Typed:
    """A moment plus or minus an interval; text stays text, as in MySQL."""
    unit = (interval.text("unit") or "").upper()
    if unit not in UNITS or interval.this is None:
        raise unsupported(f"INTERVAL {unit}")
    given, count = compiler.compile(start), to_integer(compiler.compile(interval.this), compiler.strict)
    moment = to_moment(given, compiler.strict)
    kind: Kind = moment.kind
    if kind == "date" and unit in ("HOUR", "MINUTE", "SECOND"):
        kind = "datetime"
    steps = count.sql if sign > 0 else f"m_negative({count.sql}, 'int')"
    computed = given.kind == "str" and given.constant is None
    sql = f"m_shifted({moment.sql}, {steps}, '{unit}', {computed:d})"
    return replace(derived(sql, kind, (given, count)), binary=False)


def _difference(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    check_count(name.upper(), len(nodes), 3, 3)
    unit = nodes[0].name.upper()
    if unit not in UNITS:
        raise unsupported(f"TIMESTAMPDIFF in {unit}")
    ends = [to_moment(compiler.compile(node), compiler.strict) for node in nodes[1:]]
    return replace(
        derived(f"m_difference('{unit}', {ends[0].sql}, {ends[1].sql})", "int", ends), binary=False
    )


def _str_to_date(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    values = _values(compiler, name, nodes, 2, 2)
    return invoke(compiler, FUNCTIONS[name], [*values, Typed(f"{compiler.strict:d}", "int")])


def _now(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    check_count(name.upper(), len(nodes), 0, 0)
    kind: Kind = "date" if name in ("curdate", "current_date") else "datetime"
    return Typed(f"m_now('{kind}')", kind)


def _format(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    """FORMAT rounds text and doubles as doubles, whose halves need not be away from zero."""
    values = _values(compiler, name, nodes, 2, 2)
    if values[1].constant is None:
        raise unsupported("FORMAT to a computed number of digits")
    if values[0].kind in ("str", "dbl"):
        number = invoke(compiler, FUNCTIONS["round"], [to_double(values[0], compiler.strict), values[1]])
        values = [number, values[1]]
    return invoke(compiler, FUNCTIONS["format"], values)


def _if(compiler: Compiler, name: str, nodes: list[Any]) -> Typed:
    test, yes, no = _values(compiler, name, nodes, 3, 3)
    return compiler.choice([convert(test, "int", None, compiler.strict)], [yes, no])


_SPECIAL: dict[str, Callable[[Compiler, str, list[Any]], Typed]] = {
    "coalesce": _coalesce, "ifnull": _coalesce, "nullif": _nullif, "isnull": _isnull, "greatest": _extreme,
    "least": _extreme, "field": _field, "mod": _operator, "date_add": _shifted, "adddate": _shifted,
    "date_sub": _shifted, "subdate": _shifted, "timestampdiff": _difference, "now": _now, "curdate": _now,
    "current_date": _now, "current_timestamp": _now, "format": _format, "str_to_date": _str_to_date,
}  # fmt: skip


@helper
def extreme(order: str, sign: int, *values: Any) -> Any:
    """The greatest or least value, NULL with a NULL."""
    if None in values:
        return None
    best = values[0]
    for value in values[1:]:
        best = value if ORDERS[order](value, best) * sign > 0 else best
    return best


@helper
def text_key(text: str | None, binary: int) -> str | None:
    """The same text for texts that compare equal."""
    return None if text is None else (text if binary else weights(text)).rstrip(" ")


def joined(compiler: Compiler, node: exp.Expression) -> Typed:
    """Texts one after another: `'a' 'b'`."""
    only(node, "expressions", "coalesce", "safe")
    return invoke(compiler, FUNCTIONS["concat"], [compiler.compile(each) for each in node.expressions])


def substring(compiler: Compiler, node: exp.Expression) -> Typed:
    """SUBSTRING(x, 1, 2) and SUBSTRING(x FROM 1 FOR 2)."""
    only(node, "this", "start", "length")
    nodes = [node.this, node.args.get("start"), node.args.get("length")]
    return invoke(
        compiler, FUNCTIONS["substring"], [compiler.compile(each) for each in nodes if each is not None]
    )


def trim(compiler: Compiler, node: exp.Expression) -> Typed:
    """TRIM([LEADING|TRAILING|BOTH] [x FROM] y)."""
    only(node, "this", "expression", "position")
    remove = node.args.get("expression")
    if node.args.get("position") and remove is None:
        raise unsupported("TRIM with a side and nothing to remove")
    removed = compiler.compile(remove) if remove is not None else Typed("' '", "str")
    name = "trim_" + str(node.args.get("position") or "BOTH").lower()
    return invoke(compiler, FUNCTIONS[name], [compiler.compile(node.this), removed])


def extract(compiler: Compiler, node: exp.Expression) -> Typed:
    """EXTRACT(YEAR FROM x)."""
    only(node, "this", "expression")
    unit = node.this.name.lower()
    if unit.upper() not in UNITS:
        raise unsupported(f"EXTRACT {unit.upper()}")
    return invoke(compiler, FUNCTIONS[unit], [compiler.compile(node.expression)])


def position(compiler: Compiler, node: exp.Expression) -> Typed:
    """POSITION(x IN y)."""
    only(node, "this", "substr")
    return invoke(
        compiler, FUNCTIONS["locate"], [compiler.compile(node.args["substr"]), compiler.compile(node.this)]
    )
