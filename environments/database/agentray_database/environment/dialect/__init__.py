"""MySQL's dialect on SQLite.

A statement is read by sqlglot (`syntax`), given types and compiled to SQL that SQLite runs (`queries`,
`expressions`, `calls`, `casts`, `changes`), whose functions are Python's (`texts`, `numbers`, `moments`,
`patterns`, `aggregates`) over MySQL's conversions (`values`) and its collation. What is not known to give
MySQL's answer is an error in MySQL's words (`faults`).
"""

from agentray_database.environment.dialect import moments, numbers, patterns, texts

__all__ = ["moments", "numbers", "patterns", "texts"]
