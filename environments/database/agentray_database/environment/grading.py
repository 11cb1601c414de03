"""DBBench's scoring of answers, and the literal parser that reads them."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import Any

_ANSWER_LIMIT = 10_000
"""Longest answer worth parsing, in characters."""


def parse_answer(text: str) -> list[str]:
    """The items of a final answer; text that is not a list of literals is one item, itself.

    Args:
        text: What follows `Final Answer:`, e.g. `["March 19, 1998"]`.
    """
    text = text.strip()
    value = _literal(text)
    if isinstance(value, list | tuple | set):
        try:
            return [item if isinstance(item, str) else str(item) for item in value]
        except (ValueError, RecursionError):  # a number of too many digits, nesting of too many levels
            return [text]
    return [value if isinstance(value, str) else text]


def _literal(text: str) -> object:
    if len(text) > _ANSWER_LIMIT:
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return None


def is_correct(answer: Sequence[str], label: Sequence[str]) -> bool:
    """Whether an answer matches: one item by number, else by text; several as sets.

    Source: AgentBench, DBBench `metrics`: `float(a) == float(b)` where both are numbers.
    """
    if len(answer) == len(label) == 1:
        try:
            return float(answer[0]) == float(label[0])
        except ValueError:
            return answer[0] == label[0]
    return set(answer) == set(label)


def answer_of(rows: Sequence[Sequence[Any]]) -> list[str]:
    """A result as an answer: its first column, without repeats; `none` when there is nothing.

    A whole double is written without its point: MySQL prints 31.0 where a reader says 31.
    """
    found = [row[0] for row in rows if row and row[0] is not None]
    texts = [str(int(each)) if isinstance(each, float) and each.is_integer() else str(each) for each in found]
    return list(dict.fromkeys(texts)) or ["none"]
