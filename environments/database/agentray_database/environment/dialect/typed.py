"""SQL with a static type: MySQL knows the type of every expression before it runs, SQLite does not.

SQLite holds MySQL's integers as INTEGER, doubles as REAL, and text, decimals and moments as TEXT: a decimal
as its digits (`7.400`), a moment as `2001-05-06`, `12:30:00` or both. Functions named `m_...` are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from agentray_database.environment.dialect.faults import fault, unsupported

Kind = Literal["null", "int", "dec", "dbl", "str", "date", "time", "datetime"]
MOMENTS: frozenset[Kind] = frozenset({"date", "time", "datetime"})


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression as SQLite runs it, and what MySQL knows of its value."""

    sql: str
    kind: Kind
    scale: int | None = None
    """Digits after the point: of every decimal, and of a double that MySQL prints with fixed ones."""
    unsigned: bool = False
    bare: bool = False
    """Whether it reads a column outside of aggregates, so that a group has no single value for it."""
    binary: bool = False
    """Whether text compares by code point."""
    raw: bool = False
    """Whether it is text that MySQL's client would give as bytes."""
    constant: str | None = None
    """The value of a literal."""

    @property
    def collate(self) -> str:
        """The clause by which SQLite compares it."""
        if self.kind == "str":
            return " COLLATE m_binary" if self.binary else " COLLATE m_text"
        return " COLLATE m_decimal" if self.kind == "dec" else ""


def literal(text: str) -> str:
    """A text as a literal of SQLite."""
    if "\0" in text:
        return f"CAST(X'{text.encode().hex()}' AS TEXT)"
    return "'" + text.replace("'", "''") + "'"


def derived(sql: str, kind: Kind, of: Iterable[Typed], scale: int | None = None) -> Typed:
    """An expression made of others."""
    parts = tuple(of)
    binary, raw = any(part.binary for part in parts), any(part.raw for part in parts) and kind == "str"
    return Typed(sql, kind, scale, bare=any(part.bare for part in parts), binary=binary, raw=raw)


def to_text(value: Typed) -> Typed:
    """The value as MySQL writes it."""
    sql = value.sql
    if value.kind == "int":
        sql = f"CAST({sql} AS TEXT)"
    elif value.kind == "dec":
        sql = f"m_decimal_text({sql}, {value.scale})"
    elif value.kind == "dbl":
        sql = f"m_double_text({sql}, {'NULL' if value.scale is None else value.scale})"
    return replace(value, sql=sql, kind="str", scale=None, unsigned=False)


def to_double(value: Typed, strict: bool) -> Typed:
    """The value as a double; text by its numeric beginning."""
    sql = value.sql
    if value.kind == "int":
        sql = f"CAST({sql} AS REAL)"
    elif value.kind == "dec":
        sql = f"m_double({sql})"
    elif value.kind == "str":
        sql = f"m_number({_number_text(value)}, {strict:d})"
    elif value.kind in MOMENTS:
        sql = f"CAST(m_digits({sql}) AS REAL)"
    return replace(value, sql=sql, kind="dbl", scale=value.scale if value.kind == "dbl" else None)


def _number_text(value: Typed) -> str:
    """Text that is to be read as a number.

    Raises:
        StatementError: MySQL reads it otherwise than by its beginning.
    """
    if value.sql.startswith("m_extreme("):
        raise unsupported("GREATEST or LEAST of texts as a number")
    return value.sql


def to_decimal(value: Typed, strict: bool) -> Typed:
    """The value as a decimal, with the digits it has."""
    sql, scale = value.sql, value.scale or 0
    if value.kind == "int":
        sql = f"CAST({sql} AS TEXT)"
    elif value.kind == "dbl":
        sql, scale = f"m_double_decimal({sql})", 30
    elif value.kind == "str":
        sql, scale = f"m_decimal({_number_text(value)}, {strict:d})", 30
    elif value.kind in MOMENTS:
        sql = f"CAST(m_digits({sql}) AS TEXT)"
    return replace(value, sql=sql, kind="dec", scale=scale)


def to_integer(value: Typed, strict: bool) -> Typed:
    """The value as a whole number: a number rounded, text cut off."""
    sql = value.sql
    if value.kind in ("dec", "dbl"):
        sql = f"m_round_integer({sql}, '{value.kind}')"
    elif value.kind == "str":
        sql = f"m_integer({_number_text(value)}, {strict:d})"
    elif value.kind in MOMENTS:
        sql = f"m_digits({sql})"
    constant = value.constant if value.kind == "int" else None
    return replace(value, sql=sql, kind="int", scale=None, constant=constant)


def to_moment(value: Typed, strict: bool) -> Typed:
    """The value as a date or a date with a time, NULL when it is neither; of kind text unless it is known."""
    if value.kind in ("date", "datetime", "null"):
        return value
    if value.kind in ("dec", "dbl"):
        raise unsupported("a number with a fraction as a date")
    text = to_text(value).sql
    return replace(value, sql=f"m_moment({text}, {strict:d})", kind="str", scale=None, unsigned=False)


def to_truth(value: Typed, strict: bool) -> Typed:
    """1, 0 or NULL."""
    if value.kind in ("int", "null"):
        return replace(value, kind="int")
    return replace(value, sql=f"({to_double(value, strict).sql} <> 0)", kind="int", scale=None)


def common(values: list[Typed]) -> tuple[Kind, int | None]:
    """Kind and scale of a value that is one of several: the branches of CASE, the arguments of COALESCE."""
    kinds = {value.kind for value in values} - {"null"}
    if not kinds:
        return "null", None
    if kinds == {"int"} and len({value.unsigned for value in values if value.kind == "int"}) > 1:
        return "dec", 0
    if len(kinds) == 1 and (kind := next(iter(kinds))) not in ("dec", "dbl"):
        return kind, None
    if kinds <= {"int", "dec"}:
        return "dec", max(value.scale or 0 for value in values)
    if kinds <= {"int", "dec", "dbl"}:
        return "dbl", _fixed(values)
    if kinds <= {"date", "datetime"}:
        return "datetime", None
    return "str", None


def _fixed(values: list[Typed]) -> int | None:
    scales = [v.scale if v.kind in ("dec", "dbl") else 0 for v in values if v.kind != "null"]
    return None if None in scales else max(scale or 0 for scale in scales)


def convert(value: Typed, kind: Kind, scale: int | None, strict: bool) -> Typed:
    """The value as of another kind."""
    if value.kind == "null":
        return replace(value, kind=kind, scale=scale)
    if kind == "str":
        return to_text(value)
    if kind == "dbl":
        return replace(to_double(value, strict), scale=scale)
    if kind == "dec":
        return replace(to_decimal(value, strict), scale=scale)
    if kind == "datetime" and value.kind == "date":
        return replace(value, sql=f"m_midnight({value.sql})", kind="datetime")
    return value


def comparable(values: list[Typed], strict: bool) -> tuple[Kind, list[Typed]]:
    """Values as MySQL compares them: a number with text as doubles, a date with text as dates."""
    kinds = {value.kind for value in values} - {"null"}
    if not kinds or kinds == {"str"}:
        return "str", [replace(value, kind="str") for value in values]
    if kinds <= {"int"} or (len(kinds) == 1 and kinds <= MOMENTS):
        return next(iter(kinds)), values
    if kinds <= {"int", "dec"}:
        return "dec", [convert(value, "dec", value.scale, strict) for value in values]
    if kinds <= {"int", "dec", "dbl", "str"}:
        if any(value.kind == "str" and value.scale == 0 for value in values):
            raise unsupported("a comparison of CAST AS CHAR with a number")
        return "dbl", [convert(value, "dbl", None, strict) for value in values]
    if kinds <= {"date", "datetime", "str"}:
        return "datetime", [
            value
            if value.kind in ("null", "datetime")
            else replace(value, sql=f"m_midnight({to_moment(value, True).sql})", kind="datetime")
            for value in values
        ]
    raise unsupported("a comparison of a time with a number or a text")


def compared(operator: str, left: Typed, right: Typed, strict: bool) -> Typed:
    """`left operator right` as 1, 0 or NULL; `<=>` is never NULL."""
    kind, (first, second) = comparable([left, right], strict)
    operator = "IS" if operator == "<=>" else operator
    if kind == "dec" and operator != "IS":
        sql = f"(m_compare({first.sql}, {second.sql}) {operator} 0)"
    elif kind == "dec":
        sql = f"(m_decimal_key({first.sql}) IS m_decimal_key({second.sql}))"
    else:
        clause = ""
        if kind == "str":
            clause = " COLLATE m_binary" if first.binary or second.binary else " COLLATE m_text"
        sql = f"({first.sql} {operator} {second.sql}{clause})"
    return replace(derived(sql, "int", (left, right)), binary=False)


def decimal_scale(operator: str, left: int, right: int) -> int:
    """Digits after the point of `left operator right`, from those of both sides."""
    if operator == "*":
        return min(left + right, 38)
    return min(left + 4, 38) if operator == "/" else max(left, right)


def check_count(name: str, given: int, least: int, most: int) -> None:
    """Refuse a function's call with too few or too many arguments."""
    if not least <= given <= most:
        raise fault(1582, "42000", f"Incorrect parameter count in the call to native function '{name}'")
