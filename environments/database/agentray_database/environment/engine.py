"""One table in a sandbox: an in-memory SQLite database that treats every statement as hostile."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from agentray_database.environment.dialect.aggregates import AGGREGATES, ORDERS, WINDOWED
from agentray_database.environment.dialect.changes import Change, change, row_id
from agentray_database.environment.dialect.faults import (
    StatementError,
    denied,
    fault,
    interrupted,
    syntax,
    too_big,
    unsupported,
)
from agentray_database.environment.dialect.functions import bodies
from agentray_database.environment.dialect.moments import printed
from agentray_database.environment.dialect.queries import Queries, Query
from agentray_database.environment.dialect.show import show
from agentray_database.environment.dialect.syntax import is_table_list, parse, quoted

Row = tuple[Any, ...]

OBSERVATION_LIMIT = 800
"""AgentBench's: longer results are cut and end in `[TRUNCATED]`."""
STATEMENT_LIMIT = 10_000
"""Longest statement, in characters."""
TIME_LIMIT_S = 2.0
STEP_LIMIT = 400_000
"""Most steps of SQLite's virtual machine for one statement; reading 100 rows takes about 1,000."""

_VALUE_LIMIT_BYTES = 65_536
_PAGE_LIMIT = 2048
"""Of 4 KiB: what a statement may write in all."""
_STEPS_A_CHECK = 1000
_FETCH_ROWS = 250
"""More rows than this never fit in an observation."""
_ALLOWED = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_INSERT,
     sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_TRANSACTION}
)  # fmt: skip
_OURS = re.compile(r"\b([fm]_\w+)\(")
_AGGREGATED = re.compile(r"\b(a_\w+)\(")
_BODIES = bodies()
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: _VALUE_LIMIT_BYTES * 16,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100 * STATEMENT_LIMIT,
    sqlite3.SQLITE_LIMIT_COLUMN: 300,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 500,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 50_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


class Sandbox:
    """A table with TEXT columns that answers as MySQL does, or with an error."""

    def __init__(self, name: str, headers: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
        self._name, self._headers = name, list(headers)
        self._table = quoted(name)
        self._database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._database.text_factory = lambda data: data.decode(errors="replace")
        for order in ("text", "binary", "decimal"):
            self._database.create_collation(f"m_{order}", self._guarded(ORDERS[order]))
        self._database.execute(f"PRAGMA max_page_count = {_PAGE_LIMIT}")
        # SQLite 3.40's Bloom filter for its own indexes hashes the length of a text, whatever the collation.
        self._database.execute("PRAGMA automatic_index = OFF")
        columns = ", ".join(f"{quoted(header)} TEXT" for header in headers)
        self._database.execute(f"CREATE TABLE {self._table} ({columns})")
        marks = ", ".join("?" * len(headers))
        self._database.executemany(f"INSERT INTO {self._table} VALUES ({marks})", rows)
        for limit, value in _LIMITS.items():
            self._database.setlimit(limit, value)
        self._database.set_authorizer(_authorize)
        self._known: set[str] = set()
        self._failure: Exception | None = None
        self._deadline, self._steps = 0.0, 0
        self._database.set_progress_handler(self._spent, _STEPS_A_CHECK)

    def execute(self, statement: str) -> str:
        """Run one statement of a model.

        Returns:
            The rows as Python prints a list of tuples, cut at `OBSERVATION_LIMIT`; or MySQL's error text.
        """
        try:
            text = str(self.query(statement))
        except StatementError as error:
            text = str(error)
        return text if len(text) <= OBSERVATION_LIMIT else text[:OBSERVATION_LIMIT] + "[TRUNCATED]"

    def query(self, statement: str) -> list[Row]:
        """The first rows of a statement's result, as MySQL's client for Python gives them.

        Raises:
            StatementError: The statement is wrong, forbidden, too much work, or nothing that is known to give
                MySQL's answer; a `sqlite3.Error`.
        """
        self._deadline, self._steps, self._failure = time.monotonic() + TIME_LIMIT_S, 0, None
        try:
            if len(statement) > STATEMENT_LIMIT:
                raise too_big()
            return self._run(statement)
        except StatementError:
            raise
        except RecursionError as error:
            raise fault(1436, "HY000", "Thread stack overrun") from error
        except (
            sqlite3.Error,
            sqlite3.Warning,
            ValueError,
            OverflowError,
            ArithmeticError,
            MemoryError,
        ) as error:
            raise self._mysql(error) from error

    def table_hash(self) -> str:
        """AgentBench's hash of the table's content, whatever the order of its rows.

        The limits on a statement do not hold for it, or a model could fill its table until grading fails;
        `_PAGE_LIMIT` bounds what there is to read.
        """
        self._database.set_progress_handler(None, 0)
        try:
            return table_hash(self._database.execute(f"SELECT * FROM {self._table}"))
        finally:
            self._database.set_progress_handler(self._spent, _STEPS_A_CHECK)

    def close(self) -> None:
        """Free the database."""
        self._database.close()

    def _run(self, statement: str) -> list[Row]:
        statement.encode()
        shown = show(statement, self._name, self._headers)
        if shown is not None:
            return shown
        made = self._compiled(statement)
        if isinstance(made, Change):
            self._change(made)
            return []
        query = made
        if any(column.raw for _, column in query.columns):
            raise unsupported("BINARY in a result, which MySQL's client gives as bytes")
        kinds = [(column.kind, None if column.unsigned else column.scale) for _, column in query.columns]
        return [
            tuple(printed(kind, value, scale) for value, (kind, scale) in zip(row, kinds, strict=True))
            for row in self._read(query.sql, _FETCH_ROWS)
        ]

    def _compiled(self, statement: str) -> Change | Query:
        """A statement compiled for SQLite.

        Raises:
            StatementError: MySQL refuses it, or it is not supported. sqlglot leaves parts out of some trees
                that MySQL would not read: to stumble over these is a syntax error.
        """
        tree = parse(statement)
        try:
            if is_table_list(tree):
                return Queries(self._name, self._headers).compile(tree)
            return change(tree, self._name, self._headers)
        except (AttributeError, TypeError, LookupError) as error:
            raise syntax(statement) from error

    def _read(self, sql: str, most: int | None = None) -> list[Row]:
        """Rows of a compiled query, at most as much of them as a statement may write."""
        self._register(sql)
        cursor = self._database.execute(sql)
        rows: list[Row] = []
        size = 0
        try:
            for row in cursor:
                rows.append(row)
                size += 40 + sum(len(value) for value in row if isinstance(value, str))
                if size > _PAGE_LIMIT * 4096:
                    raise fault(1114, "HY000", "The table is full")
                if most is not None and len(rows) >= most:
                    break
            return rows
        finally:
            cursor.close()

    def _change(self, made: Change) -> None:
        """Write what a statement's queries give; all of it or nothing."""
        rows = [row for sql in made.queries for row in self._read(sql)]
        names = [quoted(self._headers[index]) for index in made.columns]
        if made.kind == "insert":
            marks = ", ".join("?" * len(names))
            sql, values = f"INSERT INTO {self._table} ({', '.join(names)}) VALUES ({marks})", rows
        elif made.kind == "update":
            sets = ", ".join(f"{name} = ?" for name in names)
            sql, values = (
                f"UPDATE {self._table} SET {sets} WHERE {row_id(self._headers)} = ?",
                [(*row[1:], row[0]) for row in rows],
            )
        else:
            sql, values = f"DELETE FROM {self._table} WHERE {row_id(self._headers)} = ?", rows
        if not names and made.kind == "insert":
            sql, values = f"INSERT INTO {self._table} DEFAULT VALUES", [() for _ in rows]
        self._database.execute("BEGIN")
        try:
            self._database.executemany(sql, values)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.set_progress_handler(None, 0)
                self._database.execute("ROLLBACK")
                self._database.set_progress_handler(self._spent, _STEPS_A_CHECK)
            raise

    def _register(self, sql: str) -> None:
        """Give SQLite the functions that a compiled statement calls."""
        for name in set(_OURS.findall(sql)) - self._known:
            if name in _BODIES:
                deterministic = name != "m_now"
                self._database.create_function(
                    name, -1, self._guarded(_BODIES[name]), deterministic=deterministic
                )
                self._known.add(name)
        for name in set(_AGGREGATED.findall(sql)) - self._known:
            if name in AGGREGATES:
                self._register_aggregate(name)
                self._known.add(name)

    def _register_aggregate(self, name: str) -> None:
        guarded, base = self._guarded, AGGREGATES[name]

        class Guarded(base):  # type: ignore[misc,valid-type]
            step = guarded(base.step)
            finalize = guarded(base.finalize)

        if name in WINDOWED:
            self._database.create_window_function(name, base.width, Guarded)
        else:
            self._database.create_aggregate(name, base.width, Guarded)

    def _guarded(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """The body within the time limit, its exception kept: SQLite only says that there was one."""

        def call(*values: Any) -> Any:
            try:
                if time.monotonic() > self._deadline > 0:
                    raise interrupted()
                return body(*values)
            except Exception as error:
                self._failure = self._failure or error
                raise

        return call

    def _mysql(self, error: Exception) -> StatementError:
        """The error that MySQL would show for what SQLite reports."""
        if isinstance(self._failure, StatementError):
            return self._failure
        message = str(error)
        if "interrupted" in message:
            return interrupted()
        if "not authorized" in message or "prohibited" in message:
            return denied("SELECT")
        if "disk is full" in message:
            return fault(1114, "HY000", "The table is full")
        if re.search(r"syntax error|no such|incomplete|user-defined", message):
            return unsupported("this statement")
        if re.search(r"too (?:big|long|many|large)|limit", message):
            return too_big()
        return fault(1105, "HY000", message)

    def _spent(self) -> bool:
        """Whether SQLite must stop: called every `_STEPS_A_CHECK` steps."""
        self._steps += _STEPS_A_CHECK
        return self._steps > STEP_LIMIT or time.monotonic() > self._deadline


def table_hash(rows: Iterable[Row]) -> str:
    """Order-free hash of rows: md5 of the sorted five-digit md5s of each row, joined by commas.

    A row is its columns joined by commas, without NULL (MySQL's `CONCAT_WS`).
    Source: AgentBench, DBBench's SQL over `MD5(CONCAT_WS(',', ...))`.
    """
    joined = (",".join(str(cell) for cell in row if cell is not None) for row in rows)
    return _md5(",".join(sorted(_md5(row)[:5] for row in joined)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(errors="replace"), usedforsecurity=False).hexdigest()


def _authorize(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    if action not in _ALLOWED or (first or "").lower().startswith("sqlite_"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
