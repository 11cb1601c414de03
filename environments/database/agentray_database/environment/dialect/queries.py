"""SELECT, UNION and WITH as SQL for SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

from agentray_database.environment.dialect.expressions import Compiler
from agentray_database.environment.dialect.faults import (
    fault,
    syntax,
    unknown_column,
    unknown_table,
    unsupported,
)
from agentray_database.environment.dialect.scope import Scope, Source
from agentray_database.environment.dialect.syntax import only, quoted, written
from agentray_database.environment.dialect.typed import Typed, common, convert

_CLAUSES = ("with_", "expressions", "distinct", "from_", "joins", "where", "group", "having", "order",
            "limit", "offset")  # fmt: skip
_JOINS = {("", ""): " JOIN ", ("", "INNER"): " JOIN ", ("", "CROSS"): " JOIN ", ("LEFT", ""): " LEFT JOIN ",
          ("RIGHT", ""): " RIGHT JOIN "}  # fmt: skip


@dataclass
class Query:
    """A query as SQLite runs it; its columns are named c0, c1, ..."""

    sql: str
    columns: list[tuple[str, Typed]]


@dataclass
class Select:
    """The parts of a SELECT while it is compiled."""

    items: list[tuple[str, Typed]] = field(default_factory=list)
    source: str = ""
    conditions: list[str] = field(default_factory=list)
    groups: list[Typed] = field(default_factory=list)
    having: str = ""
    order: list[str] = field(default_factory=list)


class Queries:
    """Compiles the queries of one statement over one table."""

    def __init__(self, table: str, headers: list[str], strict: bool = False, settled: bool = True) -> None:
        """The table that statements may read.

        Args:
            table: Its name.
            headers: Its columns.
            strict: Whether the statement changes it.
            settled: Whether a decimal of an aggregate is cut to the digits of its type.
        """
        self._table, self.headers, self.strict, self._is_settled = table, headers, strict, settled
        self._with: dict[str, tuple[exp.Expression, list[str]]] = {}
        self._aliases = 0
        self._depth = 0

    def compile(self, node: exp.Expression, parent: Scope | None = None) -> Query:
        """A query.

        Raises:
            StatementError: MySQL refuses it, or it is not supported.
        """
        with self._names(node):
            if isinstance(node, exp.Subquery):
                return self._wrapped(node, parent)
            if isinstance(node, exp.Union):
                return self._union(node, parent)
            if isinstance(node, exp.Select):
                return self._select(node, parent)
        raise unsupported(written(node))

    @contextmanager
    def _names(self, node: exp.Expression) -> Iterator[None]:
        """The names that WITH gives to queries, inside this one."""
        before, clause = dict(self._with), node.args.get("with_")
        if clause is not None:
            only(clause, "expressions")
            for each in clause.expressions:
                only(each, "this", "alias")
                columns = [column.name for column in each.args["alias"].args.get("columns") or []]
                self._with[each.alias] = (each.this, columns)
        try:
            yield
        finally:
            self._with = before

    def compiler(self, scope: Scope, clause: str = "field list", aggregates: bool = True) -> Compiler:
        """A compiler of the expressions of a clause."""
        return Compiler(scope, self.compile, self.strict, clause, aggregates)

    def table(self) -> tuple[Source, str]:
        """The table as a source, and its SQL."""
        alias = self._alias()
        columns = [(name, Typed(f"{alias}.{quoted(name)}", "str", bare=True)) for name in self.headers]
        return Source(self._table, columns), f"{quoted(self._table)} AS {alias}"

    def _alias(self) -> str:
        self._aliases += 1
        return f"s{self._aliases}"

    def source(self, node: exp.Expression, scope: Scope) -> tuple[Source, str]:
        """A table or a derived table of FROM."""
        if isinstance(node, exp.Subquery):
            only(node, "this", "alias")
            if not node.alias:
                raise fault(1248, "42000", "Every derived table must have its own alias")
            names = [column.name for column in node.args["alias"].args.get("columns") or []]
            return self._derived(self.compile(node.this, None), node.alias, names)
        if not isinstance(node, exp.Table):
            raise unsupported(written(node))
        only(node, "this", "alias")
        name = node.name
        if node.args.get("alias") is not None and node.args["alias"].args.get("columns"):
            raise syntax(written(node))
        if name in self._with and isinstance(node.this, exp.Identifier):
            query, names = self._with.pop(name)
            try:
                return self._derived(self.compile(query, None), node.alias or name, names)
            finally:
                self._with[name] = (query, names)
        if name != self._table:
            raise unknown_table(name)
        source, sql = self.table()
        return replace(source, name=node.alias or name), sql

    def _derived(self, query: Query, name: str, names: list[str]) -> tuple[Source, str]:
        if names and len(names) != len(query.columns):
            raise fault(1353, "HY000", "SELECT list and column names list have different column counts")
        alias = self._alias()
        titles = names or [title for title, _ in query.columns]
        if len({title.lower() for title in titles}) < len(titles):
            raise fault(1060, "42S21", "Duplicate column name in a derived table")
        columns = [
            (title, replace(column, sql=f'{alias}."c{index}"', bare=True, constant=None))
            for index, (title, (_, column)) in enumerate(zip(titles, query.columns, strict=True))
        ]
        return Source(name, columns), f"({query.sql}) AS {alias}"

    def _from(self, node: exp.Expression, scope: Scope) -> str:
        start = node.args.get("from_")
        if start is None and node.args.get("joins"):
            raise syntax("")
        if start is None or (isinstance(start.this, exp.Table) and start.this.name.upper() == "DUAL"):
            return ""
        source, sql = self.source(start.this, scope)
        scope.sources.append(source)
        joins = [*(start.this.args.get("joins") or []), *(node.args.get("joins") or [])]
        for join in joins:
            only(join, "this", "side", "kind", "on")
            kind = str(join.args.get("kind") or "").replace("OUTER", "")
            if join.args.get("using") is not None:
                raise unsupported(written(join))
            how = _JOINS.get((str(join.args.get("side") or ""), kind))
            if how is None:
                raise unsupported(written(join))
            source, joined = self.source(join.this, scope)
            if any(source.name == each.name for each in scope.sources):
                raise fault(1066, "42000", f"Not unique table/alias: '{source.name}'")
            scope.sources.append(source)
            sql += how + joined
            condition = join.args.get("on")
            if condition is not None:
                sql += f" ON {self.compiler(scope, 'on clause', False).truth(condition).sql}"
            elif how not in (" JOIN ",):
                raise syntax("")
        return f" FROM {sql}"

    def _select(self, node: exp.Expression, parent: Scope | None) -> Query:
        only(node, *_CLAUSES)
        if not node.expressions:
            raise syntax("")
        scope, parts = Scope(parent), Select()
        parts.source = self._from(node, scope)
        if node.args.get("where"):
            parts.conditions.append(
                self.compiler(scope, "where clause", False).truth(node.args["where"].this).sql
            )
        self._group(node, scope, parts)
        compiler = self.compiler(scope)
        for each in node.expressions:
            parts.items += self._items(each, compiler)
        scope.aliases = {name.lower(): item for name, item in reversed(parts.items)}
        scope.repeated = {
            name.lower() for name, item in parts.items if item.sql != scope.aliases[name.lower()].sql
        }
        self._having(node, scope, parts)
        self._order(node, scope, parts)
        if scope.aggregated or parts.groups:
            self._check_groups(parts, bool(parts.groups))
        if (
            not parts.source
            and node.expressions
            and any(isinstance(each, exp.Star) for each in node.expressions)
        ):
            raise fault(1096, "HY000", "No tables used")
        return Query(self._assembled(node, scope, parts), parts.items)

    def _items(self, node: exp.Expression, compiler: Compiler) -> list[tuple[str, Typed]]:
        """The columns that one item of a SELECT list stands for, with their names."""
        if isinstance(node, exp.Star):
            only(node)
            return [column for source in compiler.scope.sources for column in source.columns]
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            table = node.text("table")
            found = [source for source in compiler.scope.sources if source.name == table]
            if not found:
                raise fault(1051, "42S02", f"Unknown table '{table}'")
            return list(found[0].columns)
        if isinstance(node, exp.Alias):
            only(node, "this", "alias")
            return [(node.alias, compiler.compile(node.this))]
        name = node.name if isinstance(node, exp.Column) else written(node)
        return [(name, compiler.compile(node))]

    def _group(self, node: exp.Expression, scope: Scope, parts: Select) -> None:
        group = node.args.get("group")
        if group is None:
            return
        only(group, "expressions")
        compiler = self.compiler(scope, "group statement", False)
        for each in group.expressions:
            target = self._named(each, node, scope)
            value = compiler.compile(target)
            parts.groups.append(value)
        scope.groups = {value.sql for value in parts.groups}

    def _named(self, node: Any, select: exp.Expression, scope: Scope) -> Any:
        """What an item of GROUP BY means: a position, a column, or else an alias."""
        items = select.expressions
        if isinstance(node, exp.Literal) and not node.is_string:
            if not node.name.isdigit() or not 1 <= int(node.name) <= len(items):
                raise unknown_column(node.name, "group statement")
            target = items[int(node.name) - 1]
            if isinstance(target, exp.Star):
                raise unsupported("GROUP BY a position in *")
            return target.this if isinstance(target, exp.Alias) else target
        if isinstance(node, exp.Column) and not node.text("table") and scope.find(node.name, None) is None:
            for item in items:
                if isinstance(item, exp.Alias) and item.alias.lower() == node.name.lower():
                    return item.this
        return node

    def _having(self, node: exp.Expression, scope: Scope, parts: Select) -> None:
        having = node.args.get("having")
        if having is None:
            return
        condition = self.compiler(scope, "having clause").truth(having.this)
        if parts.groups or scope.aggregated:
            if condition.bare:
                raise fault(1463, "42000", "Non-grouping field is used in HAVING clause")
            parts.having = condition.sql
        else:
            parts.conditions.append(condition.sql)

    def _order(self, node: exp.Expression, scope: Scope, parts: Select) -> None:
        order = node.args.get("order")
        for each in order.expressions if order is not None else []:
            value = self._ordered(each.this, scope, parts)
            index = next((i for i, (_, item) in enumerate(parts.items, 1) if item.sql == value.sql), None)
            if index is None and node.args.get("distinct"):
                raise fault(
                    3065, "HY000", "Expression of ORDER BY is not in SELECT list, incompatible with DISTINCT"
                )
            if index is None and (scope.aggregated or parts.groups) and value.bare:
                raise _not_grouped("ORDER BY", bool(parts.groups))
            if index is None and not (value.bare or scope.aggregated or scope.reaches_out):
                continue
            sql = str(index) if index is not None else value.sql
            parts.order.append(sql + value.collate + (" DESC" if each.args.get("desc") else ""))

    def _ordered(self, node: exp.Expression, scope: Scope, parts: Select) -> Typed:
        """What an item of ORDER BY means: a position, an alias, or else an expression."""
        if isinstance(node, exp.Literal) and not node.is_string:
            if not node.name.isdigit() or not 1 <= int(node.name) <= len(parts.items):
                raise unknown_column(node.name, "order clause")
            return parts.items[int(node.name) - 1][1]
        if isinstance(node, exp.Column) and not node.text("table"):
            alias = scope.alias(node.name)
            if alias is not None:
                return alias
        return self.compiler(scope, "order clause").compile(node)

    @staticmethod
    def _check_groups(parts: Select, grouped: bool) -> None:
        for _, item in parts.items:
            if item.bare:
                raise _not_grouped("SELECT list", grouped)

    def _assembled(self, node: exp.Expression, scope: Scope, parts: Select) -> str:
        distinct = bool(node.args.get("distinct"))
        if distinct:
            only(node.args["distinct"])
        columns = []
        for index, (_, item) in enumerate(parts.items):
            settles = distinct or (self._is_settled and (parts.groups or scope.aggregated))
            settled = _settled(item) if settles else item.sql
            columns.append(f'{settled}{item.collate if distinct else ""} AS "c{index}"')
        sql = f"SELECT {'DISTINCT ' if distinct else ''}{', '.join(columns)}{parts.source}"
        if parts.conditions:
            sql += " WHERE " + " AND ".join(parts.conditions)
        if parts.groups:
            sql += " GROUP BY " + ", ".join(
                value.sql + value.collate if value.bare else f"({value.sql} || '')" for value in parts.groups
            )
        if parts.having:
            sql += f" HAVING {parts.having}"
        if parts.order:
            sql += " ORDER BY " + ", ".join(parts.order)
        return sql + limited(node)

    def _wrapped(self, node: exp.Expression, parent: Scope | None) -> Query:
        """A query in parentheses, with an ORDER BY or a LIMIT of its own perhaps."""
        only(node, "this", "limit", "offset", "with_")
        query = self.compile(node.this, parent)
        return Query(f"SELECT * FROM ({query.sql}){limited(node)}", query.columns) if limited(node) else query

    def _union(self, node: exp.Expression, parent: Scope | None) -> Query:
        only(node, "this", "expression", "distinct", "order", "limit", "offset", "with_")
        left, right = self.compile(node.this, parent), self.compile(node.expression, parent)
        if len(left.columns) != len(right.columns):
            raise fault(1222, "21000", "The used SELECT statements have a different number of columns")
        kinds = [common([a, b]) for (_, a), (_, b) in zip(left.columns, right.columns, strict=True)]
        distinct = node.args.get("distinct") is not False
        halves = [self._half(query, kinds, distinct) for query in (left, right)]
        columns = [
            (name, Typed(f'"c{index}"', kind, scale, binary=column.binary))
            for index, ((name, column), (kind, scale)) in enumerate(zip(left.columns, kinds, strict=True))
        ]
        sql = " UNION ALL ".join(halves)
        if distinct:
            names = ", ".join(f'"c{i}"{column.collate} AS "c{i}"' for i, (_, column) in enumerate(columns))
            sql = f"SELECT DISTINCT {names} FROM ({sql})"
        order = node.args.get("order")
        if order is not None:
            sql += " ORDER BY " + ", ".join(self._union_order(each, columns) for each in order.expressions)
        return Query(sql + limited(node), columns)

    def _half(self, query: Query, kinds: list[Any], distinct: bool) -> str:
        columns = []
        for index, ((_, column), (kind, scale)) in enumerate(zip(query.columns, kinds, strict=True)):
            value = convert(replace(column, sql=f'q."c{index}"'), kind, scale, self.strict)
            columns.append(f'{_settled(value)}{value.collate if distinct else ""} AS "c{index}"')
        return f"SELECT {', '.join(columns)} FROM ({query.sql}) AS q"

    @staticmethod
    def _union_order(node: exp.Expression, columns: list[tuple[str, Typed]]) -> str:
        key = node.this
        names = [name.lower() for name, _ in columns]
        if isinstance(key, exp.Literal) and key.name.isdigit() and 1 <= int(key.name) <= len(columns):
            index = int(key.name) - 1
        elif isinstance(key, exp.Column) and not key.text("table") and key.name.lower() in names:
            index = names.index(key.name.lower())
        else:
            raise unknown_column(written(key), "order clause")
        return f"{index + 1}{columns[index][1].collate}" + (" DESC" if node.args.get("desc") else "")


def limited(node: exp.Expression) -> str:
    """The LIMIT clause of a query, of whole numbers only."""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if limit is None and offset is None:
        return ""
    if not isinstance(limit, exp.Limit) or limit.expression is None:
        raise syntax("")
    only(limit, "expression")
    clause = ""
    for word, number in (("LIMIT", limit), ("OFFSET", offset)):
        if number is not None:
            given = number.expression
            if not isinstance(given, exp.Literal) or given.is_string or not given.name.isdigit():
                raise syntax(written(number.expression))
            clause += f" {word} {min(int(number.expression.name), 2**62)}"
    return clause


def _settled(value: Typed) -> str:
    """A value as a table would hold it: a quotient with its own digits only."""
    if value.kind == "dbl" and value.scale is not None:
        return f"m_fitting({value.sql}, {value.scale})"
    return f"m_decimal_text({value.sql}, {value.scale})" if value.kind == "dec" else value.sql


def _not_grouped(where: str, grouped: bool) -> Exception:
    mode = "contains nonaggregated column; this is incompatible with sql_mode=only_full_group_by"
    if grouped:
        return fault(1055, "42000", f"Expression of {where} is not in GROUP BY clause and {mode}")
    return fault(1140, "42000", f"In aggregated query without GROUP BY, expression of {where} {mode}")
