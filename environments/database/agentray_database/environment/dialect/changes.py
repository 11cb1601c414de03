"""INSERT, UPDATE and DELETE: each becomes a query of what to write, which reads the table as it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from agentray_database.environment.dialect.queries import Queries, limited
from agentray_database.environment.dialect.scope import Scope, Source
from agentray_database.environment.dialect.syntax import is_table_list, only, written
from agentray_database.environment.dialect.typed import Typed, literal, to_text


@dataclass(frozen=True, slots=True)
class Change:
    """What a statement does to the table."""

    kind: str
    """`insert`, `update` or `delete`."""
    queries: tuple[str, ...]
    """SQL of the rows to insert, or of the row ids and the new values."""
    columns: tuple[int, ...]
    """The columns that are written."""


def change(tree: exp.Expression, table: str, headers: list[str]) -> Change:
    """A statement that changes the table.

    Raises:
        StatementError: MySQL refuses it, or it is not supported.
    """
    queries = Queries(table, headers, strict=not tree.args.get("ignore"))
    if isinstance(tree, exp.Insert):
        return _insert(tree, queries, table, headers)
    _check_target(tree, table)
    if isinstance(tree, exp.Update):
        only(tree, "this", "expressions", "where", "order", "limit", "ignore")
        return _update(tree, queries, headers)
    only(tree, "this", "where", "order", "limit", "cluster", "using", "ignore")
    if tree.this.alias:
        raise syntax(tree.this.alias)
    scope, sql = _rows(tree, queries, tree.this)
    return Change(
        "delete", (f"SELECT {_row_id(sql, headers)} FROM {sql}{_clauses(tree, queries, scope)}",), ()
    )


def _check_target(tree: exp.Expression, table: str) -> None:
    """MySQL reads the table that it changes only through a derived table."""
    target = tree.this
    if not isinstance(target, exp.Table):
        raise unsupported("a change of several tables")
    only(target, "this", "alias")
    if target.name != table:
        raise unknown_table(target.name)
    for node in tree.find_all(exp.Table):
        if node is target or node.name != table:
            continue
        inside = node.find_ancestor(exp.Subquery)
        while inside is not None and not isinstance(inside.parent, exp.From | exp.Join):
            inside = inside.find_ancestor(exp.Subquery)
        if inside is None:
            raise fault(1093, "HY000", f"You can't specify target table '{table}' for update in FROM clause")


def _rows(tree: exp.Expression, queries: Queries, target: exp.Expression) -> tuple[Scope, str]:
    source, sql = queries.table()
    return Scope(None, [Source(target.alias or target.name, source.columns)]), sql


def row_id(headers: list[str]) -> str:
    """SQLite's name of a row's number that no column hides.

    Raises:
        StatementError: The columns hide every name.
    """
    hidden = {header.lower() for header in headers}
    for name in ("rowid", "_rowid_", "oid"):
        if name not in hidden:
            return name
    raise unsupported("a change of a table with the columns rowid, _rowid_ and oid")


def _row_id(sql: str, headers: list[str]) -> str:
    return f"{sql.rpartition(' AS ')[2]}.{row_id(headers)}"


def _clauses(tree: exp.Expression, queries: Queries, scope: Scope) -> str:
    """WHERE, ORDER BY and LIMIT."""
    sql = ""
    if tree.args.get("where"):
        sql += f" WHERE {queries.compiler(scope, 'where clause', False).truth(tree.args['where'].this).sql}"
    keys = []
    for each in tree.args["order"].expressions if tree.args.get("order") else []:
        if isinstance(each.this, exp.Literal):
            raise unsupported("ORDER BY a position")
        value = queries.compiler(scope, "order clause", False).compile(each.this)
        keys.append(value.sql + value.collate + (" DESC" if each.args.get("desc") else ""))
    if tree.args.get("offset"):
        raise unsupported("OFFSET in a change")
    return sql + (" ORDER BY " + ", ".join(keys) if keys else "") + limited(tree)


def _update(tree: exp.Expression, queries: Queries, headers: list[str]) -> Change:
    """UPDATE: a later assignment sees what an earlier one wrote, as in MySQL."""
    scope, sql = _rows(tree, queries, tree.this)
    clauses = _clauses(tree, queries, scope)
    compiler = queries.compiler(scope, "field list", False)
    changed: dict[int, Typed] = {}
    source = scope.sources[0]
    for each in tree.expressions:
        if not isinstance(each, exp.EQ) or not isinstance(each.this, exp.Column):
            raise unsupported(written(each))
        only(each.this, "this", "table")
        if each.this.text("table") and each.this.text("table") != source.name:
            raise unknown_column(f"{each.this.text('table')}.{each.this.name}", "field list")
        index = _index(each.this.name, headers)
        value = _stored(compiler, each.expression)
        if len(value.sql) > 20_000:
            raise unsupported("assignments that build on one another")
        changed[index] = value
        source.columns[index] = (headers[index], replace(value, kind="str", scale=None, constant=None))
    values = ", ".join(value.sql for value in changed.values())
    return Change(
        "update", (f"SELECT {_row_id(sql, headers)}, {values} FROM {sql}{clauses}",), tuple(changed)
    )


def _index(name: str, headers: list[str]) -> int:
    for index, header in enumerate(headers):
        if header.lower() == name.lower():
            return index
    raise unknown_column(name, "field list")


def _stored(compiler: Compiler, node: exp.Expression) -> Typed:
    """A value as the TEXT column keeps it: `7.400` as written."""
    if isinstance(node, exp.HexString):
        try:
            return Typed(
                literal(bytes.fromhex(node.name.zfill(len(node.name) + len(node.name) % 2)).decode()), "str"
            )
        except ValueError as error:
            raise fault(1366, "22007", f"Incorrect string value: '{node.name}'") from error
    if isinstance(node, exp.Var | exp.Column) and node.name.upper() == "DEFAULT":
        return Typed("NULL", "null")
    return _written(compiler.compile(node))


def _written(value: Typed) -> Typed:
    """A value as MariaDB writes it into a TEXT column: a decimal with all the digits that it has."""
    if value.kind == "dec":
        return replace(value, kind="str", scale=None)
    return to_text(replace(value, scale=None) if value.kind == "dbl" else value)


def _insert(tree: exp.Expression, queries: Queries, table: str, headers: list[str]) -> Change:
    only(tree, "this", "expression", "ignore")
    target = tree.this
    columns = list(range(len(headers)))
    if isinstance(target, exp.Schema):
        columns = [_index(each.name, headers) for each in target.expressions]
        target = target.this
    if len(set(columns)) < len(columns):
        raise fault(1110, "42000", f"Column '{headers[columns[-1]]}' specified twice")
    if not isinstance(target, exp.Table):
        raise unsupported(written(target))
    only(target, "this")
    if target.name != table:
        raise unknown_table(target.name)
    source: Any = tree.expression
    if isinstance(source, exp.Values):
        return Change("insert", tuple(_inserted(source, columns, queries)), tuple(columns))
    if source is None or not is_table_list(source):
        raise unsupported("this INSERT")
    query = Queries(table, headers, queries.strict, settled=False).compile(source)
    if len(query.columns) != len(columns):
        raise fault(1136, "21S01", "Column count doesn't match value count at row 1")
    plain = isinstance(source, exp.Select) and not source.args.get("distinct")
    if not plain and any(column.kind == "dec" for _, column in query.columns):
        raise unsupported("decimals of INSERT ... SELECT with DISTINCT or UNION")
    values = [_written(replace(column, sql=f'q."c{i}"')).sql for i, (_, column) in enumerate(query.columns)]
    return Change("insert", (f"SELECT {', '.join(values)} FROM ({query.sql}) AS q",), tuple(columns))


def _inserted(source: exp.Expression, columns: list[int], queries: Queries) -> list[str]:
    """SQL of each row of VALUES."""
    only(source, "expressions")
    compiler = queries.compiler(Scope(), "field list", False)
    rows = []
    for number, row in enumerate(source.expressions, 1):
        cells = (
            row.expressions
            if isinstance(row, exp.Tuple)
            else [row.this if isinstance(row, exp.Paren) else row]
        )
        if not cells and len(columns) in (0, len(queries.headers)):
            rows.append("SELECT " + ", ".join(["NULL"] * len(columns) or ["1"]))
            continue
        if len(cells) != len(columns):
            raise fault(1136, "21S01", f"Column count doesn't match value count at row {number}")
        rows.append("SELECT " + ", ".join(_stored(compiler, cell).sql for cell in cells))
    return rows
