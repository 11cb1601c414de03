"""MySQL's grammar: sqlglot reads the statement, and what it takes too lightly is refused here."""

from __future__ import annotations

import re
from typing import Any, ClassVar, cast

from sqlglot import exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.parsers.mysql import MySQLParser

from agentray_database.environment.dialect.faults import fault, syntax, unsupported
from agentray_database.environment.dialect.words import RESERVED, check_tokens

_SPECIAL_CALLS = (
    "CAST", "CONVERT", "CHAR", "EXTRACT", "POSITION", "SUBSTRING", "SUBSTR", "TRIM", "GROUP_CONCAT",
)  # fmt: skip
_COMPARISONS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Like, exp.In, exp.Between,
    exp.RegexpLike, exp.Is,
)  # fmt: skip


_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.IntDiv)


class AgentMySQL(MySQL):
    """MySQL, with every call of a function left as it was written."""

    class Parser(MySQLParser):
        """Without rewriting: sqlglot's translations of functions are not exact."""

        FUNCTIONS: ClassVar[Any] = {}
        NO_PAREN_FUNCTIONS: ClassVar[Any] = {}
        FUNCTION_PARSERS: ClassVar[Any] = {
            name: MySQLParser.FUNCTION_PARSERS[name] for name in _SPECIAL_CALLS
        }


_DIALECT = AgentMySQL()


def parse(statement: str) -> exp.Expression:
    """The tree of one SELECT, INSERT, UPDATE or DELETE.

    Raises:
        StatementError: MySQL refuses the statement, or its owner alone may run it.
    """
    statement = statement.replace("\0", "") if "\0" in statement.rstrip("\0") else statement.rstrip("\0")
    statement = re.sub(r"^(\s*)REPLACE\b", r"\1INSERT", statement, flags=re.IGNORECASE)
    try:
        tokens = _DIALECT.tokenize(statement)
        if not tokens:
            raise fault(1065, "42000", "Query was empty")
        check_tokens(statement, tokens)
        trees = [tree for tree in _DIALECT.parse(statement) if tree is not None]
    except SqlglotError as error:
        details = getattr(error, "errors", None) or [{}]
        near = (details[0].get("highlight") or "") + (details[0].get("end_context") or "")
        raise syntax(near) from error
    except RecursionError as error:
        raise fault(1436, "HY000", "Thread stack overrun") from error
    if len(trees) != 1:
        raise syntax(statement.partition(";")[2].strip())
    tree = cast(exp.Expression, trees[0])
    _check_tree(tree, statement)
    return tree


def _check_tree(tree: exp.Expression, statement: str) -> None:
    """Refuse reserved words and texts as names, and what MySQL groups otherwise than sqlglot."""
    for node in tree.walk():
        if isinstance(node, exp.TableAlias) and isinstance(node.this, exp.Identifier):
            start = node.this.meta.get("start")
            if isinstance(start, int) and statement[start : start + 1] in ("'", '"'):
                raise syntax(statement[start:])
        if isinstance(node, exp.Identifier) and not node.quoted and node.name.upper() in RESERVED:
            qualified = isinstance(node.parent, exp.Column) and node.arg_key == "this" and node.parent.table
            dual = node.name.upper() == "DUAL" and isinstance(node.parent, exp.Table)
            if not qualified and not dual:
                raise syntax(node.name)
        if isinstance(node, exp.Identifier) and not node.quoted and node.name.isdigit():
            raise syntax(node.name)
        if isinstance(node, exp.Not) and isinstance(node.parent, (*_COMPARISONS, exp.Neg, *_ARITHMETIC)):
            raise syntax("NOT")
        if isinstance(node, exp.Xor) and isinstance(node.parent, exp.And | exp.Or):
            raise unsupported("XOR beside AND or OR without parentheses")
        if isinstance(node, _COMPARISONS) and any(
            isinstance(child, _COMPARISONS) for child in (node.this, node.args.get("expression"))
        ):
            raise unsupported("a comparison of comparisons without parentheses")
        if isinstance(node, exp.Xor) and any(
            isinstance(child, exp.And | exp.Or | exp.Xor) for child in (node.this, node.expression)
        ):
            raise unsupported("XOR beside AND or OR without parentheses")


def written(node: exp.Expression) -> str:
    """The beginning of a part of a statement, for an error about it."""
    text = node.sql(dialect="mysql", unsupported_level=ErrorLevel.IGNORE, comments=False)
    return re.sub(r"\s+", " ", text)[:60]


def only(node: exp.Expression, *names: str) -> None:
    """Refuse a node with other parts than those named: nothing that MySQL would heed is passed over.

    Raises:
        StatementError: There is such a part.
    """
    for name, value in node.args.items():
        if name not in names and value not in (None, False, [], ""):
            raise unsupported(written(node))


def is_table_list(tree: exp.Expression) -> bool:
    """Whether a statement is a query."""
    return isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery)


def quoted(name: str) -> str:
    """A name as SQLite takes any: in double quotes, its own doubled."""
    return '"' + name.replace('"', '""') + '"'
