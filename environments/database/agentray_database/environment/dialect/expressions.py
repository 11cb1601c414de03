"""Expressions of MySQL as typed SQL for SQLite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from agentray_database.environment.dialect import calls, casts, groups, literals
from agentray_database.environment.dialect.faults import fault, out_of_range, syntax, unsupported
from agentray_database.environment.dialect.scope import Scope
from agentray_database.environment.dialect.syntax import only, written
from agentray_database.environment.dialect.typed import (
    MOMENTS,
    Kind,
    Typed,
    common,
    comparable,
    compared,
    convert,
    decimal_scale,
    derived,
    literal,
    to_text,
    to_truth,
)

if TYPE_CHECKING:
    from agentray_database.environment.dialect.queries import Query

_COMPARE: dict[type, str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=", exp.NullSafeEQ: "<=>",
}  # fmt: skip
_ARITHMETIC: dict[type, str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.IntDiv: "DIV",
}  # fmt: skip
_NOW = {
    "CURRENT_DATE": "date",
    "CURRENT_TIMESTAMP": "datetime",
    "LOCALTIME": "datetime",
    "LOCALTIMESTAMP": "datetime",
}


@dataclass
class Compiler:
    """Compiles the expressions of one query."""

    scope: Scope
    subquery: Callable[[exp.Expression, Scope], Query]
    """Compiles a query inside this one."""
    strict: bool = False
    """Whether the statement changes the table, where MySQL refuses text that is not a number."""
    clause: str = "field list"
    """MySQL's name of the clause, for its error about an unknown column."""
    aggregates: bool = True
    """Whether the clause may hold aggregates."""

    def compile(self, node: exp.Expression) -> Typed:
        """One expression.

        Raises:
            StatementError: MySQL refuses it, or it is not supported.
        """
        result = self._compile(node)
        return replace(result, bare=False) if result.sql in self.scope.groups else result

    def truth(self, node: exp.Expression) -> Typed:
        """A condition: 1, 0 or NULL."""
        return to_truth(self.compile(node), self.strict)

    def _compile(self, node: exp.Expression) -> Typed:
        if isinstance(node, exp.Paren):
            only(node, "this")
            return self.compile(node.this)
        if type(node) in _COMPARE:
            return self._comparison(node)
        if type(node) in _ARITHMETIC:
            return self._arithmetic(node, _ARITHMETIC[type(node)])
        method = _METHODS.get(type(node))
        if method is None:
            raise unsupported(written(node))
        return method(self, node)

    def column(self, node: exp.Expression) -> Typed:
        """A column, or a function that MySQL writes without parentheses."""
        only(node, "this", "table")
        name, table = node.name, node.text("table") or None
        if isinstance(node.this, exp.Star):
            raise unsupported("* inside an expression")
        if not isinstance(node.this, exp.Identifier):
            raise syntax(written(node))
        quoted = node.this.quoted
        if table is None and not quoted and name.upper() in _NOW:
            kind: Any = _NOW[name.upper()]
            return Typed(f"m_now('{kind}')", kind)
        if self.clause == "having clause":
            return self._having_column(name, table)
        if table is None and self.clause == "order clause" and self.scope.find(name, None) is None:
            alias = self.scope.alias(name)
            if alias is not None:
                return alias
        return self.scope.column(name, table, self.clause)

    def _having_column(self, name: str, table: str | None) -> Typed:
        """HAVING sees the SELECT list and the expressions of GROUP BY only."""
        alias = self.scope.alias(name) if table is None else None
        if alias is not None:
            return alias
        found = self.scope.column(name, table, self.clause)
        inside = self.aggregates is False or found.sql in self.scope.groups or not found.bare
        if inside or any(found.sql == each.sql for each in self.scope.aliases.values()):
            return found
        raise fault(1054, "42S22", f"Unknown column '{name}' in 'having clause'")

    def _boolean(self, node: exp.Expression) -> Typed:
        return Typed("1" if node.this else "0", "int")

    def _null(self, node: exp.Expression) -> Typed:
        return Typed("NULL", "null")

    def _comparison(self, node: exp.Expression) -> Typed:
        only(node, "this", "expression")
        operator = _COMPARE[type(node)]
        left, right = node.this, node.expression
        if isinstance(right, exp.Any | exp.All):
            return self._quantified(operator, left, right)
        if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple) and operator == "=":
            return self._equal_tuples(left, right)
        return compared(operator, self.compile(left), self.compile(right), self.strict)

    def _equal_tuples(self, left: exp.Expression, right: exp.Expression) -> Typed:
        tuples = isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple)
        if not tuples or len(left.expressions) != len(right.expressions):
            raise fault(1241, "21000", f"Operand should contain {len(left.expressions)} column(s)")
        parts = [
            compared("=", self.compile(first), self.compile(second), self.strict)
            for first, second in zip(left.expressions, right.expressions, strict=True)
        ]
        return derived("(" + " AND ".join(part.sql for part in parts) + ")", "int", parts)

    def _quantified(self, operator: str, left: exp.Expression, right: exp.Expression) -> Typed:
        """`x >= ALL (SELECT ...)` and `x = ANY (SELECT ...)`, by their definition with NULL."""
        value, query = self.compile(left), self.inner(right.this)
        column = replace(query.columns[0][1], sql='q."c0"')
        test = compared(operator, value, column, self.strict).sql
        stop, other = (0, 1) if isinstance(right, exp.All) else (1, 0)
        rows = f"SELECT 1 FROM ({query.sql}) AS q WHERE {test} IS"
        unknown = f"WHEN EXISTS ({rows} NULL) THEN NULL ELSE {other} END"
        return derived(f"(CASE WHEN EXISTS ({rows} {stop}) THEN {stop} {unknown})", "int", (value,))

    def _arithmetic(self, node: exp.Expression, operator: str) -> Typed:
        only(node, "this", "expression", "typed", "safe")
        for one, other, sign in (
            (node.expression, node.this, operator),
            (node.this, node.expression, operator),
        ):
            if (
                isinstance(one, exp.Interval)
                and operator in "+-"
                and (operator == "+" or one is node.expression)
            ):
                return calls.shift(self, other, one, -1 if sign == "-" else 1)
        left, right = self.compile(node.this), self.compile(node.expression)
        return self.calculate(operator, left, right)

    def calculate(self, operator: str, left: Typed, right: Typed) -> Typed:
        """`left operator right` for numbers; text counts as doubles."""
        for value in (left, right):
            if value.kind in MOMENTS:
                raise unsupported("arithmetic with a date; use DATE_ADD or DATEDIFF")
            if value.kind == "dec" and value.unsigned:
                raise out_of_range("BIGINT UNSIGNED")
            if value.kind == "str" and value.scale == 0:
                raise unsupported("arithmetic with CAST AS CHAR, where MariaDB drops the fraction")
        kinds = {left.kind, right.kind}
        kind: Kind = (
            "dbl"
            if kinds & {"dbl", "str", "null"} or kinds == {"null"}
            else "dec"
            if "dec" in kinds
            else "int"
        )
        scale: int | None = None
        if kind == "int" and operator == "/":
            kind = "dec"
        if kind == "dec":
            scale = decimal_scale(operator, left.scale or 0, right.scale or 0)
        elif kind == "dbl" and "str" not in kinds:
            scale = common([left, right])[1]
            scale = scale + 4 if scale is not None and operator == "/" else scale
        first, second = (
            convert(left, kind, left.scale, self.strict),
            convert(right, kind, right.scale, self.strict),
        )
        unsigned = (kind == "int" or operator == "DIV") and (left.unsigned or right.unsigned)
        how = f"{kind}{' unsigned' if unsigned else ''}"
        sql = f"m_calculate('{operator}', {first.sql}, {second.sql}, '{how}', {self.strict:d})"
        if operator == "DIV":
            kind, scale = "int", None
        return replace(derived(sql, kind, (left, right), scale), unsigned=unsigned, binary=False)

    def _negative(self, node: exp.Expression) -> Typed:
        only(node, "this")
        value = self.compile(node.this)
        if value.kind in MOMENTS:
            raise unsupported("a negative date")
        if value.kind == "int" and not value.constant and node.this.find(exp.Column, exp.Query) is None:
            raise unsupported("the negative of a computed constant")
        value = convert(value, "dbl", None, self.strict) if value.kind in ("str", "null") else value
        constant = f"-{value.constant}" if value.constant else None
        result = derived(f"m_negative({value.sql}, '{value.kind}')", value.kind, (value,), value.scale)
        return replace(result, constant=constant)

    def _not(self, node: exp.Expression) -> Typed:
        only(node, "this")
        value = self.truth(node.this)
        return derived(f"(NOT {value.sql})", "int", (value,))

    def _logical(self, node: exp.Expression) -> Typed:
        only(node, "this", "expression")
        left, right = self.truth(node.this), self.truth(node.expression)
        if isinstance(node, exp.Xor):
            sql = f"(({left.sql} <> 0) <> ({right.sql} <> 0))"
        else:
            sql = f"({left.sql} {'AND' if isinstance(node, exp.And) else 'OR'} {right.sql})"
        return derived(sql, "int", (left, right))

    def _is(self, node: exp.Expression) -> Typed:
        only(node, "this", "expression")
        value = self.compile(node.this)
        if isinstance(node.expression, exp.Null):
            return derived(f"({value.sql} IS NULL)", "int", (value,))
        if isinstance(node.expression, exp.Boolean):
            truth = to_truth(value, self.strict).sql
            return derived(f"(({truth} <> 0) IS {1 if node.expression.this else 0})", "int", (value,))
        raise unsupported("IS with anything but NULL, TRUE and FALSE")

    def negated(self, node: exp.Expression, result: Typed) -> Typed:
        """The result, turned round where the node says NOT."""
        return replace(result, sql=f"(NOT {result.sql})") if node.args.get("negate") else result

    def _between(self, node: exp.Expression) -> Typed:
        only(node, "this", "low", "high", "negate")
        parts = [self.compile(node.this), self.compile(node.args["low"]), self.compile(node.args["high"])]
        kind, (value, low, high) = comparable(parts, self.strict)
        if kind == "dbl":
            between = derived(f"m_within({value.sql}, {low.sql}, {high.sql})", "int", parts)
            return self.negated(node, replace(between, binary=False))
        above, below = compared(">=", value, low, self.strict), compared("<=", value, high, self.strict)
        return self.negated(node, derived(f"({above.sql} AND {below.sql})", "int", parts))

    def _in(self, node: exp.Expression) -> Typed:
        only(node, "this", "expressions", "query", "negate")
        if node.args.get("query"):
            return self.negated(node, self._in_query(node))
        if isinstance(node.this, exp.Tuple):
            tests = [self._equal_tuples(node.this, each) for each in node.expressions]
        else:
            value = self.compile(node.this)
            tests = [compared("=", value, self.compile(each), self.strict) for each in node.expressions]
        return self.negated(node, derived("(" + " OR ".join(test.sql for test in tests) + ")", "int", tests))

    def _in_query(self, node: exp.Expression) -> Typed:
        query = self.inner(node.args["query"])
        if node.args["query"].this.args.get("limit"):
            raise unsupported("LIMIT & IN/ALL/ANY/SOME subquery")
        value = self.compile(node.this)
        column = replace(query.columns[0][1], sql='q."c0"')
        kind, (first, second) = comparable([value, column], self.strict)
        form = "m_decimal_key({})" if kind == "dec" else "m_text_key({}, 0)" if kind == "str" else "{}"
        if first.binary or second.binary:
            form = form.replace(", 0)", ", 1)")
        sql = f"({form.format(first.sql)} IN (SELECT {form.format(second.sql)} FROM ({query.sql}) AS q))"
        return replace(derived(sql, "int", (value,)), binary=False)

    def inner(self, node: exp.Expression) -> Query:
        """A subquery of one column.

        Raises:
            StatementError: It has another number of columns.
        """
        query = self.subquery(node.this if isinstance(node, exp.Subquery) else node, self.scope)
        if len(query.columns) != 1:
            raise fault(1241, "21000", "Operand should contain 1 column(s)")
        return query

    def _scalar(self, node: exp.Expression) -> Typed:
        only(node, "this")
        query = self.inner(node)
        column = query.columns[0][1]
        return replace(
            column, sql=f'(SELECT a_only(q."c0") FROM ({query.sql}) AS q)', bare=False, constant=None
        )

    def _exists(self, node: exp.Expression) -> Typed:
        only(node, "this")
        return Typed(f"EXISTS ({self.subquery(node.this, self.scope).sql})", "int")

    def _like(self, node: exp.Expression, escape: str = "\\") -> Typed:
        only(node, "this", "expression", "negate")
        value, pattern = to_text(self.compile(node.this)), to_text(self.compile(node.expression))
        binary = value.binary or pattern.binary
        sql = f"m_like({value.sql}, {pattern.sql}, {literal(escape)}, {binary:d})"
        return self.negated(node, replace(derived(sql, "int", (value, pattern)), binary=False))

    def _escape(self, node: exp.Expression) -> Typed:
        only(node, "this", "expression")
        escape = node.expression
        if not isinstance(node.this, exp.Like) or not isinstance(escape, exp.Literal) or len(escape.name) > 1:
            raise fault(1210, "HY000", "Incorrect arguments to ESCAPE")
        return self._like(node.this, escape.name)

    def _regexp(self, node: exp.Expression) -> Typed:
        only(node, "this", "expression", "negate")
        value, pattern = to_text(self.compile(node.this)), to_text(self.compile(node.expression))
        sql = f"m_regexp({value.sql}, {pattern.sql}, {value.binary or pattern.binary:d})"
        return self.negated(node, replace(derived(sql, "int", (value, pattern)), binary=False))

    def _case(self, node: exp.Expression) -> Typed:
        only(node, "this", "ifs", "default")
        base = self.compile(node.this) if node.this else None
        tests, values = [], []
        for branch in node.args["ifs"]:
            when = self.compile(branch.this)
            tests.append(compared("=", base, when, self.strict) if base else to_truth(when, self.strict))
            values.append(self.compile(branch.args["true"]))
        default = self.compile(node.args["default"]) if node.args.get("default") else Typed("NULL", "null")
        return self.choice(tests, [*values, default])

    def choice(self, tests: list[Typed], values: list[Typed]) -> Typed:
        """The value of the first test that holds, else the last; all of one kind."""
        kind, scale = common(values)
        same = [convert(value, kind, scale, self.strict).sql for value in values]
        whens = "".join(f" WHEN {test.sql} THEN {sql}" for test, sql in zip(tests, same[:-1], strict=True))
        result = derived(f"(CASE{whens} ELSE {same[-1]} END)", kind, [*tests, *values], scale)
        return replace(result, binary=any(value.binary for value in values))

    def _if(self, node: exp.Expression) -> Typed:
        only(node, "this", "true", "false")
        if not node.args.get("false"):
            raise fault(1582, "42000", "Incorrect parameter count in the call to native function 'IF'")
        branches = [self.compile(node.args["true"]), self.compile(node.args["false"])]
        return self.choice([self.truth(node.this)], branches)

    def _collate(self, node: exp.Expression) -> Typed:
        only(node, "this", "expression")
        value, name = self.compile(node.this), node.expression.name.lower()
        if value.kind != "str" or name not in ("utf8mb4_bin", "utf8mb4_general_ci"):
            raise fault(1273, "HY000", f"Unknown collation: '{name}'")
        return replace(value, binary=name == "utf8mb4_bin")


_METHODS: dict[type, Callable[[Compiler, Any], Typed]] = {
    exp.Column: Compiler.column,
    exp.Literal: literals.literal_value,
    exp.National: literals.literal_value,
    exp.Boolean: Compiler._boolean,
    exp.Null: Compiler._null,
    exp.Neg: Compiler._negative,
    exp.Not: Compiler._not,
    exp.And: Compiler._logical,
    exp.Or: Compiler._logical,
    exp.Xor: Compiler._logical,
    exp.Is: Compiler._is,
    exp.Between: Compiler._between,
    exp.In: Compiler._in,
    exp.Subquery: Compiler._scalar,
    exp.Exists: Compiler._exists,
    exp.Like: Compiler._like,
    exp.Escape: Compiler._escape,
    exp.RegexpLike: Compiler._regexp,
    exp.Case: Compiler._case,
    exp.If: Compiler._if,
    exp.Collate: Compiler._collate,
    exp.Anonymous: calls.call,
    exp.Concat: calls.joined,
    exp.Substring: calls.substring,
    exp.Trim: calls.trim,
    exp.Extract: calls.extract,
    exp.StrPosition: calls.position,
    exp.GroupConcat: groups.group_concat,
    exp.Window: groups.window,
    exp.Cast: casts.cast,
}
