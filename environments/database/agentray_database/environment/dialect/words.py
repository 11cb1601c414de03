"""What a statement's words must look like: sqlglot reads much that MySQL refuses, and would pass it over."""

from __future__ import annotations

from typing import Any

from agentray_database.environment.dialect.faults import denied, syntax, unsupported

_OWNERS = """
    ALTER ANALYZE BEGIN CALL CHECK COMMIT CREATE DROP EXECUTE FLUSH GRANT HANDLER INSTALL KILL LOAD LOCK
    OPTIMIZE PREPARE RENAME REPAIR RESET REVOKE ROLLBACK SAVEPOINT SET START TRUNCATE UNLOCK USE
"""
_RESERVED = """
    NULL TRUE FALSE ACCESSIBLE ADD ALL ALTER ANALYZE AND AS ASC ASENSITIVE BEFORE BETWEEN BIGINT BINARY
    BLOB BOTH BY CALL CASCADE CASE CHANGE CHAR CHARACTER CHECK COLLATE COLUMN CONDITION CONSTRAINT
    CONTINUE CONVERT CREATE CROSS CURSOR DATABASES DAY_HOUR DAY_MICROSECOND DAY_MINUTE DAY_SECOND DEC
    DECIMAL DECLARE DEFAULT DELAYED DELETE DESC DESCRIBE DETERMINISTIC DISTINCT DISTINCTROW DIV DOUBLE
    DROP DUAL EACH ELSE ELSEIF ENCLOSED ESCAPED EXCEPT EXISTS EXIT EXPLAIN FETCH FLOAT FLOAT4 FLOAT8 FOR
    FORCE FOREIGN FROM FULLTEXT GRANT GROUP HAVING HIGH_PRIORITY HOUR_MICROSECOND HOUR_MINUTE
    HOUR_SECOND IF IGNORE IN INDEX INFILE INNER INOUT INSENSITIVE INSERT INT INT1 INT2 INT3 INT4 INT8
    INTEGER INTERSECT INTERVAL INTO IS ITERATE JOIN KEY KEYS KILL LEADING LEAVE LEFT LIKE LIMIT LINEAR
    LINES LOAD LOCK LONG LONGBLOB LONGTEXT LOOP LOW_PRIORITY MATCH MAXVALUE MEDIUMBLOB MEDIUMINT
    MEDIUMTEXT MIDDLEINT MINUTE_MICROSECOND MINUTE_SECOND MOD MODIFIES NATURAL NOT NO_WRITE_TO_BINLOG
    NUMERIC OFFSET ON OPTIMIZE OPTIONALLY OR ORDER OUT OUTER OUTFILE OVER PAGE_CHECKSUM PARTITION
    PORTION PRECISION PRIMARY PROCEDURE PURGE RANGE READ READS READ_WRITE REAL RECURSIVE REFERENCES
    REGEXP RELEASE RENAME REPEAT REPLACE REQUIRE RESIGNAL RESTRICT RETURN RETURNING REVOKE RIGHT RLIKE
    ROWS ROW_NUMBER SCHEMAS SECOND_MICROSECOND SELECT SENSITIVE SEPARATOR SET SHOW SIGNAL SMALLINT
    SPATIAL SPECIFIC SQL SQLEXCEPTION SQLSTATE SQLWARNING SSL STARTING STRAIGHT_JOIN TABLE TERMINATED
    THEN TINYBLOB TINYINT TINYTEXT TO TRAILING TRIGGER UNDO UNION UNIQUE UNLOCK UNSIGNED UPDATE USAGE
    USE USING VALUES VARBINARY VARCHAR VARCHARACTER VARYING WHEN WHERE WHILE WITH WRITE XOR YEAR_MONTH
    ZEROFILL
"""
RESERVED = frozenset(_RESERVED.split())
"""Words that name nothing without backticks, as MariaDB 10.11 refuses them."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STATEMENTS = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "("))
_BEFORE_LISTS = _words("""
    ( , SELECT DISTINCT ALL FROM WHERE BY SET VALUES VALUE LIMIT HAVING ON INTO JOIN AND OR NOT AS
    SEPARATOR UPDATE IN LIKE BETWEEN WHEN THEN
""")
_AFTER_LISTS = _words("""
    ) , ; FROM WHERE GROUP ORDER HAVING LIMIT UNION VALUES SET AS AND OR ON THEN WHEN END ELSE SEPARATOR
""")
"""Neighbours that a comma cannot have."""
_OPERATORS = _words("""
    + - / % = < > <= >= <> != <=> || && DIV MOD LIKE REGEXP RLIKE XOR BETWEEN IN AS
""")
"""Words that something must follow."""
_PAIRS = """
    NULLS FIRST|NULLS LAST|IS DISTINCT|NOT DISTINCT|SELECT AS|, AS|( AS|AS AS|SELECT )|BY )|WHERE )|ANY +
    |, *|* EXCEPT|* REPLACE|* RENAME|* EXCLUDE|* ILIKE|SEPARATOR )|SET +|DISTINCT ORDER BY
"""
_FOREIGN = frozenset(" ".join(_PAIRS.split()).replace(" |", "|").split("|"))
"""Neighbours that MySQL refuses."""
_NO_WORDS = _words("== :: : := [ ] { } -> ->> => ? @ @@ $ \\")
_ADJACENT = _words("""
    ADDDATE CAST COUNT CURDATE DATE_ADD DATE_SUB DENSE_RANK EXTRACT GROUP_CONCAT MAX MID MIN NOW
    POSITION RANK STD STDDEV STDDEV_POP STDDEV_SAMP SUBDATE SUBSTR SUBSTRING SUM TRIM VAR_POP VAR_SAMP
    VARIANCE
""")
"""Functions that MySQL knows only with the parenthesis right behind the name."""
_BEFORE_STAR = ("SELECT", "DISTINCT", "ALL", ",", "(", ".")
_TYPES = _words("SIGNED UNSIGNED INT INTEGER DECIMAL CHAR DOUBLE FLOAT VALUES VALUE TEXT BOOLEAN")
"""Words that no literal follows."""


def check_tokens(statement: str, tokens: list[Any]) -> None:
    """Refuse a statement by its tokens.

    Raises:
        StatementError: It is not a statement that a model may send, or its words do not go together.
    """
    first = tokens[0].text.upper()
    if first in _OWNERS.split():
        raise denied(first)
    if first not in _STATEMENTS:
        raise syntax(statement[tokens[0].start :])
    if "/*!" in statement or "/*M!" in statement:
        raise unsupported("/*! ... */")
    words = ["(", *(_word(statement, token) for token in tokens), ")"]
    if words.count("WHEN") != words.count("THEN") or words.count("BETWEEN") > words.count("AND"):
        raise syntax(statement)
    if words.count("WHERE") > words.count("SELECT") + (first in ("UPDATE", "DELETE")):
        raise syntax(statement)
    depth, listed = 0, False
    for index, token in enumerate(tokens):
        before, word, after = words[index : index + 3]
        loose = listed and depth == 0 and word not in ("(", ")", ",", ";")
        listed |= first == "INSERT" and depth == 0 and word in ("VALUES", "VALUE")
        depth += (word == "(") - (word == ")")
        joined = (after == "(" and word in _ADJACENT) or (word == "." and after[:1].isdigit())
        apart = joined and tokens[index + 1].start != token.end + 1
        unnamed = word == "(" and after == "SELECT" and words[max(index - 1, 0)] == "WITH"
        if depth < 0 or apart or unnamed or loose or not _fits(before, word, after):
            raise syntax(statement[token.start :])
    if depth:
        raise syntax("")


def _word(statement: str, token: Any) -> str:
    """A token in upper case; the quotes of a text or a name stay."""
    return statement[token.start : token.end + 1].upper() or " "


def _fits(before: str, word: str, after: str) -> bool:
    """Whether a word can stand between its neighbours; ORDER BY and its like are one word."""
    if f"{before} {word}" in _FOREIGN or word in _NO_WORDS:
        return False
    last, begun = before.rpartition(" ")[2], after.partition(" ")[0]
    if word == ",":
        return last not in _BEFORE_LISTS and begun not in _AFTER_LISTS
    if word == "*":
        return begun not in _AFTER_LISTS or last in _BEFORE_STAR
    if word == ".":
        return last not in RESERVED
    if word == "NOT" and after == "NULL":
        return last == "IS" or last in _BEFORE_LISTS
    if word in ("ISNULL", "NOTNULL"):
        return after == "("
    if word[0] in "'\"0123456789" and word[-1] in "'\"0123456789":
        return not begun[:1].isdigit() or not begun.replace(".", "").isdigit()
    if word in _TYPES and begun[:1] in "'\"0123456789.":
        return False
    return not (word in _OPERATORS or word.endswith(" BY")) or begun not in _AFTER_LISTS
