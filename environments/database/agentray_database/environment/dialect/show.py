"""SHOW TABLES, SHOW COLUMNS and DESCRIBE of the one table."""

from __future__ import annotations

import re
from typing import Any

from agentray_database.environment.dialect.faults import unknown_table, unsupported

_NAME = r"(?:`((?:[^`]|``)+)`|(\w+))"
_COLUMNS = re.compile(
    rf"(?:SHOW\s+(?:COLUMNS|FIELDS)\s+(?:FROM|IN)|DESCRIBE|DESC|EXPLAIN)\s+{_NAME}\s*;?\s*", re.IGNORECASE
)
_TABLES = re.compile(r"SHOW\s+TABLES\s*;?\s*", re.IGNORECASE)
_FIRST = re.compile(r"\s*(SHOW|DESCRIBE|DESC|EXPLAIN)\b", re.IGNORECASE)


def show(statement: str, table: str, headers: list[str]) -> list[tuple[Any, ...]] | None:
    """The rows of a SHOW or DESCRIBE statement; None for any other.

    Raises:
        StatementError: There is no such table, or this SHOW is not supported.
    """
    if _FIRST.match(statement) is None:
        return None
    statement = statement.strip()
    if _TABLES.fullmatch(statement):
        return [(table,)]
    match = _COLUMNS.fullmatch(statement)
    if match is None:
        raise unsupported(statement[:60])
    name = (match.group(1) or "").replace("``", "`") or match.group(2)
    if name != table:
        raise unknown_table(name)
    return [(header, "text", "YES", "", None, "") for header in headers]
