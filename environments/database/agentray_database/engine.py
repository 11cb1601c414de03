"""One table in a sandbox: an in-memory SQLite database that treats every statement as hostile."""

from __future__ import annotations

import hashlib
import sqlite3
import time
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from agentray_database.dialect import mysql_error, translate

Row = tuple[Any, ...]

OBSERVATION_LIMIT = 800
"""AgentBench's: longer results are cut and end in `[TRUNCATED]`."""
STATEMENT_LIMIT = 10_000
"""Longest statement, in characters."""
TIME_LIMIT_S = 2.0
STEP_LIMIT = 400_000
"""Most steps of SQLite's virtual machine for one statement; reading 100 rows takes about 1,000."""

_VALUE_LIMIT_BYTES = 16_384
_PAGE_LIMIT = 2048
"""Of 4 KiB: what a statement may write in all."""
_STEPS_A_CHECK = 1000
_FETCH_ROWS = 250
"""More rows than this never fit in an observation."""
_ALLOWED = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_INSERT,
     sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_RECURSIVE}
)  # fmt: skip
_DENIED_FUNCTIONS = frozenset({"load_extension", "zeroblob", "randomblob", "fts3_tokenizer"})
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: _VALUE_LIMIT_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * STATEMENT_LIMIT,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 50_000,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 300,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


class Sandbox:
    """A table with TEXT columns that compare as in MySQL: ignoring case and accents."""

    def __init__(self, name: str, headers: Sequence[str], rows: Sequence[Sequence[str | None]]) -> None:
        self._table = _quote(name)
        self._database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._database.text_factory = lambda data: data.decode(errors="replace")
        self._database.create_collation("mysql", _compare)
        self._database.create_function("concat", -1, _concat, deterministic=True)
        self._database.create_function("if", 3, _if, deterministic=True)
        self._database.execute(f"PRAGMA max_page_count = {_PAGE_LIMIT}")
        columns = ", ".join(f"{_quote(header)} TEXT COLLATE mysql" for header in headers)
        self._database.execute(f"CREATE TABLE {self._table} ({columns})")
        marks = ", ".join("?" * len(headers))
        self._database.executemany(f"INSERT INTO {self._table} VALUES ({marks})", rows)
        for limit, value in _LIMITS.items():
            self._database.setlimit(limit, value)
        self._database.set_authorizer(_authorize)
        self._deadline, self._steps = 0.0, 0
        self._database.set_progress_handler(self._spent, _STEPS_A_CHECK)

    def execute(self, statement: str) -> str:
        """Run one statement of a model.

        Returns:
            The rows as Python prints a list of tuples, cut at `OBSERVATION_LIMIT`; or MySQL's error text.
        """
        if len(statement) > STATEMENT_LIMIT:
            return "1153 (08S01): Got a packet bigger than 'max_allowed_packet' bytes"
        try:
            text = str(self.query(statement))
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
            text = mysql_error(statement, error)
        return text if len(text) <= OBSERVATION_LIMIT else text[:OBSERVATION_LIMIT] + "[TRUNCATED]"

    def query(self, statement: str) -> list[Row]:
        """The first rows of a statement's result.

        Raises:
            sqlite3.Error: The statement is wrong, forbidden or too much work.
        """
        self._deadline, self._steps = time.monotonic() + TIME_LIMIT_S, 0
        cursor = self._database.execute(translate(statement))
        try:
            return cursor.fetchmany(_FETCH_ROWS)
        finally:
            cursor.close()

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

    def _spent(self) -> bool:
        """Whether SQLite must stop: called every `_STEPS_A_CHECK` steps."""
        self._steps += _STEPS_A_CHECK
        return self._steps > STEP_LIMIT or time.monotonic() > self._deadline


def table_hash(rows: Iterable[Row]) -> str:
    """Order-free hash of rows: md5 of the sorted five-digit md5s of each row, joined by commas.

    A row is its columns joined by commas, NULL left out (MySQL's `CONCAT_WS`).
    Source: AgentBench, DBBench's SQL over `MD5(CONCAT_WS(',', ...))`.
    """
    joined = (",".join(str(cell) for cell in row if cell is not None) for row in rows)
    return _md5(",".join(sorted(_md5(row)[:5] for row in joined)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(errors="replace"), usedforsecurity=False).hexdigest()


def _quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _authorize(
    action: int, first: str | None, second: str | None, database: str | None, trigger: str | None
) -> int:
    if action not in _ALLOWED or (first or "").lower().startswith("sqlite_"):
        return sqlite3.SQLITE_DENY
    denied = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _DENIED_FUNCTIONS
    return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK


@lru_cache(maxsize=4096)
def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _compare(left: str, right: str) -> int:
    first, second = _folded(left), _folded(right)
    return (first > second) - (first < second)


def _concat(*parts: Any) -> str | None:
    return None if None in parts else "".join(map(str, parts))


def _if(condition: Any, yes: Any, no: Any) -> Any:
    return yes if condition else no
