"""MySQL's grammar: sqlglot reads the statement, and what it takes too lightly is refused here."""

from __future__ import annotations

import re
from typing import Any, ClassVar, cast

from sqlglot import exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import SqlglotError
from sqlglot.parsers.mysql import MySQLParser
from sqlglot.tokenizer_core import TokenType

from agentray_database.dialect.faults import denied, fault, syntax, unsupported

_SPECIAL_CALLS = (
    "CAST", "CONVERT", "CHAR", "EXTRACT", "POSITION", "SUBSTRING", "SUBSTR", "TRIM", "GROUP_CONCAT",
)  # fmt: skip
_STATEMENTS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "REPLACE", "("})
_OWNERS = """
    ALTER ANALYZE BEGIN CALL CHECK COMMIT CREATE DROP EXECUTE FLUSH GRANT HANDLER INSTALL KILL LOAD LOCK
    OPTIMIZE PREPARE RENAME REPAIR RESET REVOKE ROLLBACK SAVEPOINT SET START TRUNCATE UNLOCK USE
"""
_RESERVED = """
    ACCESSIBLE ADD ALL ALTER ANALYZE AND AS ASC ASENSITIVE BEFORE BETWEEN BIGINT BINARY BLOB BOTH BY
    CALL CASCADE CASE CHANGE CHAR CHARACTER CHECK COLLATE COLUMN CONDITION CONSTRAINT CONTINUE CONVERT
    CREATE CROSS CURSOR DATABASES DAY_HOUR DAY_MICROSECOND DAY_MINUTE DAY_SECOND DEC DECIMAL DECLARE
    DEFAULT DELAYED DELETE DESC DESCRIBE DETERMINISTIC DISTINCT DISTINCTROW DIV DOUBLE DROP DUAL EACH
    ELSE ELSEIF ENCLOSED ESCAPED EXCEPT EXISTS EXIT EXPLAIN FETCH FLOAT FLOAT4 FLOAT8 FOR FORCE FOREIGN
    FROM FULLTEXT GRANT GROUP HAVING HIGH_PRIORITY HOUR_MICROSECOND HOUR_MINUTE HOUR_SECOND IF IGNORE IN
    INDEX INFILE INNER INOUT INSENSITIVE INSERT INT INT1 INT2 INT3 INT4 INT8 INTEGER INTERSECT INTERVAL
    INTO IS ITERATE JOIN KEY KEYS KILL LEADING LEAVE LEFT LIKE LIMIT LINEAR LINES LOAD LOCK LONG
    LONGBLOB LONGTEXT LOOP LOW_PRIORITY MATCH MAXVALUE MEDIUMBLOB MEDIUMINT MEDIUMTEXT MIDDLEINT
    MINUTE_MICROSECOND MINUTE_SECOND MOD MODIFIES NATURAL NOT NO_WRITE_TO_BINLOG NUMERIC OFFSET ON
    OPTIMIZE OPTIONALLY OR ORDER OUT OUTER OUTFILE OVER PAGE_CHECKSUM PARTITION PORTION PRECISION
    PRIMARY PROCEDURE PURGE RANGE READ READS READ_WRITE REAL RECURSIVE REFERENCES REGEXP RELEASE RENAME
    REPEAT REPLACE REQUIRE RESIGNAL RESTRICT RETURN RETURNING REVOKE RIGHT RLIKE ROWS ROW_NUMBER SCHEMAS
    SECOND_MICROSECOND SELECT SENSITIVE SEPARATOR SET SHOW SIGNAL SMALLINT SPATIAL SPECIFIC SQL
    SQLEXCEPTION SQLSTATE SQLWARNING SSL STARTING STRAIGHT_JOIN TABLE TERMINATED THEN TINYBLOB TINYINT
    TINYTEXT TO TRAILING TRIGGER UNDO UNION UNIQUE UNLOCK UNSIGNED UPDATE USAGE USE USING VALUES
    VARBINARY VARCHAR VARCHARACTER VARYING WHEN WHERE WHILE WITH WRITE XOR YEAR_MONTH ZEROFILL
"""
"""Words that name nothing without backticks, as MariaDB 10.11 refuses them."""
_OWNERS_FIRST = frozenset(_OWNERS.split())
_RESERVED_WORDS = frozenset(_RESERVED.split())
_COMPARISONS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Like, exp.In, exp.Between,
    exp.RegexpLike, exp.Is,
)  # fmt: skip


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
    try:
        tokens = _DIALECT.tokenize(statement)
        if not tokens:
            raise fault(1065, "42000", "Query was empty")
        _check_tokens(statement, tokens)
        if tokens[0].text.upper() == "REPLACE":
            statement = statement[: tokens[0].start] + "INSERT" + statement[tokens[0].end + 1 :]
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
    _check_tree(tree)
    return tree


def _check_tokens(statement: str, tokens: list[Any]) -> None:
    first = tokens[0].text.upper()
    if first in _OWNERS_FIRST:
        raise denied(first)
    if first not in _STATEMENTS:
        raise syntax(statement[tokens[0].start :])
    if "/*!" in statement or "/*M!" in statement:
        raise unsupported("/*! ... */")
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.token_type == TokenType.DCOLON:
            raise syntax(statement[token.start :])
        ends = following is None or following.token_type in (
            TokenType.FROM,
            TokenType.R_PAREN,
            TokenType.WHERE,
        )
        if token.token_type == TokenType.COMMA and ends:
            raise syntax(statement[token.end + 1 :].strip())


def _check_tree(tree: exp.Expression) -> None:
    """Refuse reserved words as names, and what MySQL groups otherwise than sqlglot."""
    for node in tree.walk():
        if isinstance(node, exp.Identifier) and not node.quoted and node.name.upper() in _RESERVED_WORDS:
            qualified = isinstance(node.parent, exp.Column) and node.arg_key == "this" and node.parent.table
            dual = node.name.upper() == "DUAL" and isinstance(node.parent, exp.Table)
            if not qualified and not dual:
                raise syntax(node.name)
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


def only(node: exp.Expression, *names: str) -> None:
    """Refuse a node with other parts than those named: nothing that MySQL would heed is passed over.

    Raises:
        StatementError: There is such a part.
    """
    for name, value in node.args.items():
        if name not in names and value not in (None, False, [], ""):
            raise unsupported(re.sub(r"\s+", " ", node.sql(dialect="mysql"))[:60])


def is_table_list(tree: exp.Expression) -> bool:
    """Whether a statement is a query."""
    return isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery)
