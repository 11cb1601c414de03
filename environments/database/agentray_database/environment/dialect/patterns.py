"""MySQL's regular expressions: the part of PCRE that the module `regex` reads alike, within a time limit."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import regex  # type: ignore[import-untyped]

from agentray_database.environment.dialect.faults import fault, interrupted, unsupported
from agentray_database.environment.dialect.functions import function, helper, whole_result

_TIME_LIMIT_S = 0.5
_PATTERN_LIMIT = 1000
_SHARED = regex.compile(
    r"""(?: [^\\\[({.?*+|^$)]                                    # a character
          | \\[dDwWsSbBntrf]  |  \\[^\w\s]                        # what both read alike
          | \[\^?\]?(?:[^\\\[\]&~|-]|\\[dDwWsSntr]|\\[^\w\s]|(?<=[\w])-(?=[\w])|-(?=\])|(?<=\[|\[\^)-
              |\[:\^?(?:alpha|digit|alnum|upper|lower|space|punct|xdigit):\])*\]
          | \[\[:[<>]:\]\]
          | \((?:\?(?:[:=!]|<[=!]|i\)))?  |  [.|^$)]
          | (?:[?*+]|\{\d+(?:,\d*)?\})[?+]?
        )*""",
    regex.VERBOSE,
)


@lru_cache(maxsize=256)
def _compiled(pattern: str, binary: int) -> Any:
    """A pattern, case-insensitive unless the text is binary.

    Raises:
        StatementError: The pattern is wrong, or is not known to mean the same to both.
    """
    if len(pattern) > _PATTERN_LIMIT or not _SHARED.fullmatch(pattern, timeout=_TIME_LIMIT_S):
        raise unsupported(f"the regular expression {pattern[:60]}")
    pattern = pattern.replace("[[:<:]]", r"\b(?=\w)").replace("[[:>:]]", r"\b(?<=\w)")
    flags = regex.VERSION0 | (0 if binary else regex.IGNORECASE)
    try:
        return regex.compile(pattern, flags)
    except regex.error as error:
        raise fault(1139, "42000", f"Got error '{error.msg}' from regexp") from error


def _searched(pattern: str, text: str, binary: int, start: int = 0) -> Any:
    try:
        return _compiled(pattern, binary).search(text, start, timeout=_TIME_LIMIT_S)
    except TimeoutError as error:
        raise interrupted() from error


@helper
def regexp(text: str | None, pattern: str | None, binary: int) -> int | None:
    """`text REGEXP pattern`."""
    if text is None or pattern is None:
        return None
    return int(_searched(pattern, text, binary) is not None)


@function("regexp_substr", "ss")
def _regexp_substr(text: str, pattern: str) -> str:
    match = _searched(pattern, text, 0)
    return match.group() if match else ""


@function("regexp_instr", "ss", whole_result)
def _regexp_instr(text: str, pattern: str) -> int:
    match = _searched(pattern, text, 0)
    return match.start() + 1 if match else 0


@function("regexp_replace", "sss")
def _regexp_replace(text: str, pattern: str, new: str) -> str:
    if regex.search(r"\\(?![0-9\\])", new):
        raise unsupported("this replacement in REGEXP_REPLACE")
    compiled = _compiled(pattern, 0)

    def filled(match: Any) -> str:
        def part(found: Any) -> str:
            return str(match.group(int(found[1])) or "") if found[1].isdigit() else str(found[1])

        return str(regex.sub(r"\\(.)", part, new))

    if _searched(pattern, "", 0) is not None:
        raise unsupported("REGEXP_REPLACE of a pattern that matches nothing")
    try:
        return str(compiled.sub(filled, text, timeout=_TIME_LIMIT_S))
    except TimeoutError as error:
        raise interrupted() from error
    except IndexError as error:
        raise unsupported("a reference to an absent group in REGEXP_REPLACE") from error
