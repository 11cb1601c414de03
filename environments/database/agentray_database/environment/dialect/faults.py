"""MySQL's errors, in MySQL's words: the answer to a statement that cannot be run as MySQL would run it."""

from __future__ import annotations

import sqlite3


class StatementError(sqlite3.OperationalError):
    """A statement's error; its text begins with MySQL's number and state."""


def fault(number: int, state: str, text: str) -> StatementError:
    """The error `number (state): text`, cut to the length of MySQL's messages."""
    return StatementError(f"{number} ({state}): {text[:512]}")


def syntax(near: str) -> StatementError:
    """MySQL cannot read the statement from `near` on."""
    manual = "check the manual that corresponds to your MySQL server version for the right syntax to use near"
    return fault(1064, "42000", f"You have an error in your SQL syntax; {manual} '{near[:80]}' at line 1")


def unsupported(what: str) -> StatementError:
    """MySQL might do it; this database does not do it as MySQL does, and says so."""
    return fault(1235, "42000", f"This version of MySQL doesn't yet support '{what}'")


def denied(command: str) -> StatementError:
    """A statement that only an owner of the database may run."""
    return fault(1142, "42000", f"{command} command denied to user 'agent'@'localhost'")


def unknown_column(name: str, clause: str) -> StatementError:
    """No source has such a column."""
    return fault(1054, "42S22", f"Unknown column '{name}' in '{clause}'")


def unknown_table(name: str) -> StatementError:
    """There is no such table, or it is SQLite's own."""
    if name.lower().startswith(("sqlite_", "pragma_")):
        return denied("SELECT")
    return fault(1146, "42S02", f"Table '{name}' doesn't exist")


def truncated(kind: str, value: str) -> StatementError:
    """Text that is not a number or date, where MySQL's strict mode refuses it."""
    return fault(1292, "22007", f"Truncated incorrect {kind} value: '{value}'")


def out_of_range(kind: str) -> StatementError:
    """A number beyond its type."""
    return fault(1690, "22003", f"{kind} value is out of range")


def too_big() -> StatementError:
    """A value, a pattern or a statement beyond the sandbox's limits."""
    return fault(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")


def interrupted() -> StatementError:
    """More work than one statement may do."""
    return fault(3024, "HY000", "Query execution was interrupted, maximum statement execution time exceeded")
