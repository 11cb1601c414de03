"""MySQL's dialect on SQLite: statements are rewritten before they run, errors afterwards.

AgentBench grades on MySQL with every column TEXT. What differs and matters to a model is translated here:

* a comparison with a bare number is numeric (`Goal < 17`, `Goal BETWEEN 1 AND 5`, `Goal IN (1, 2)`), where
  SQLite compares a TEXT column as text; `ORDER BY`, `MAX` and comparisons with a quoted value stay textual,
  as in MySQL;
* "double quotes" hold a string, and a backslash escapes in strings;
* `/` divides exactly, `||` is OR and `&&` is AND;
* error messages carry MySQL's numbers and wording.
"""

from __future__ import annotations

import re
import sqlite3

Token = tuple[str, str]
"""Kind (the group of `_TOKEN` that matched) and text."""

_TOKEN = re.compile(
    r"""(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")
      | (?P<name>`(?:[^`]|``)*`)
      | (?P<word>[^\W\d]\w*)
      | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)
      | (?P<compare><=>|<=|>=|<>|!=|=|<|>)
      | (?P<space>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<other>\|\||&&|<<|>>|.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "", "b": "\b", "Z": "\x1a"}
_OPERATORS = {"/": "* 1.0 /", "||": "OR", "&&": "AND"}
_MANUAL = (
    "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version "
    "for the right syntax to use near"
)
_ERRORS: tuple[tuple[str, str], ...] = (
    (r"no such table: (?:main\.)?(.+)", "1146 (42S02): Table '{0}' doesn't exist"),
    (r"no such function: (.+)", "1305 (42000): FUNCTION {0} does not exist"),
    (r"table .+ has no column named (.+)", "1054 (42S22): Unknown column '{0}' in 'field list'"),
    (
        r"\d+ values for \d+ columns|table .+ has \d+ columns but .+",
        "1136 (21S01): Column count doesn't match value count at row 1",
    ),
    (
        r"wrong number of arguments to function (.+?)\(\)",
        "1582 (42000): Incorrect parameter count in the call to native function '{0}'",
    ),
    (r"ambiguous column name: (.+)", "1052 (23000): Column '{0}' in field list is ambiguous"),
    (r"misuse of .*aggregate.*", "1111 (HY000): Invalid use of group function"),
    (
        r"interrupted",
        "3024 (HY000): Query execution was interrupted, maximum statement execution time exceeded",
    ),
    (
        r"not authorized.*|access to .+ is prohibited|unsafe use of .+|authorization denied|.+ may not be .+",
        "1142 (42000): command denied to user 'agent'@'localhost'",
    ),
    (r"database or disk is full", "1114 (HY000): The table is full"),
    (
        r".*too (?:big|long|many|large).*|.*limit.*",
        "1153 (08S01): Got a packet bigger than 'max_allowed_packet' bytes",
    ),
)
"""SQLite's messages, and MySQL's with the number and state of the same mistake."""


def translate(statement: str) -> str:
    """The statement as SQLite should run it; anything not understood is left as it is."""
    tokens = [(match.lastgroup or "", match.group()) for match in _TOKEN.finditer(statement)]
    tokens = [token for token in tokens if token[0] != "space"]
    first = tokens[0][1].upper() if tokens else ""
    in_condition = first not in ("UPDATE", "INSERT", "REPLACE")
    out: list[str] = []
    for index, (kind, text) in enumerate(tokens):
        in_condition = in_condition or text.upper() == "WHERE"
        if kind == "string":
            out.append(_literal(text))
        elif text in _OPERATORS:
            out.append(_OPERATORS[text])
        elif in_condition and _compares_numbers(tokens, index):
            out += ["+", "0", text]
        elif in_condition and kind == "compare" and index and tokens[index - 1][0] == "number":
            out += [text, "0", "+"]
        else:
            out.append(text)
    return " ".join(out)


def _compares_numbers(tokens: list[Token], index: int) -> bool:
    """Whether `+ 0` belongs before this token: an operator whose right side starts with a bare number."""
    kind, text = tokens[index]
    word = text.upper()
    following = [token for token in tokens[index + 1 : index + 4] if token[1] not in ("-", "+")]
    if word == "NOT" and following and following[0][1].upper() in ("IN", "BETWEEN"):
        following, word = following[1:], following[0][1].upper()
    elif word in ("IN", "BETWEEN") and index and tokens[index - 1][1].upper() == "NOT":
        return False
    if word == "IN":
        return len(following) > 1 and following[0][1] == "(" and following[1][0] == "number"
    return (kind == "compare" or word == "BETWEEN") and bool(following) and following[0][0] == "number"


def _literal(text: str) -> str:
    """A MySQL string, in either kind of quotes, as a SQLite string."""
    quote, body = text[0], text[1:-1]
    body = body.replace(quote * 2, quote)
    body = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match.group(1), match.group(1)), body, flags=re.DOTALL)
    return "'" + body.replace("'", "''") + "'"


def mysql_error(statement: str, error: Exception) -> str:
    """The message MySQL would show for what SQLite reports."""
    message = str(error)
    if column := re.fullmatch(r"no such column: (.+)", message):
        name = column.group(1)
        where = re.search(r"\bwhere\b", statement, re.IGNORECASE)
        clause = "where clause" if where and name not in statement[: where.start()] else "field list"
        return f"1054 (42S22): Unknown column '{name}' in '{clause}'"
    if near := re.match(r'near "(.+?)": syntax error|unrecognized token: "(.+)"', message, re.DOTALL):
        rest = statement[max(statement.find(near.group(1) or near.group(2)), 0) :]
        return f"1064 (42000): {_MANUAL} '{rest[:80]}' at line 1"
    if isinstance(error, sqlite3.Warning | sqlite3.ProgrammingError) or "incomplete input" in message:
        return f"1064 (42000): {_MANUAL} '' at line 1"
    for pattern, text in _ERRORS:
        if match := re.fullmatch(pattern, message, re.IGNORECASE):
            return text.format(*match.groups())
    return f"1105 (HY000): {message}"
