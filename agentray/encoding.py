"""JSON: encoded and decoded quickly, since every model call needs both; checked for what no file can hold."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

_DEPTH = 100
"""Deepest nesting of a record; what renders records recurses."""
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode(document: Any) -> bytes:
    """A document of plain data as UTF-8 JSON on one line; NaN and infinity become null."""
    try:
        return _encoder.encode(document)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can only escape
        return json.dumps(document).encode()


def decode(data: bytes) -> Any:
    """The document in JSON text.

    Raises:
        ValueError: The text is not valid JSON.
        RecursionError: The document is nested too deeply.
    """
    try:
        return _decoder.decode(data)
    except ValueError:  # or one that only Python's own module takes: escaped halves of surrogate pairs, NaN
        return json.loads(data)


def fault(value: Any) -> tuple[Literal["nested_too_deeply", "unencodable_text"], str] | None:
    """Why a document cannot be stored; found without recursion, since the writer chose its depth.

    Returns:
        A reason and its detail, or None: text that is not Unicode or holds NUL, or too deep a nesting.
    """
    left = [(value, 0)]
    while left:
        each, depth = left.pop()
        if depth > _DEPTH:
            return "nested_too_deeply", f"more than {_DEPTH} levels"
        if isinstance(each, str):
            if "\0" in each or not _encodable(each):
                what = "a NUL character" if "\0" in each else "half of a surrogate pair"
                return "unencodable_text", f"{what} in {each[:40]!a}"
        elif isinstance(each, dict):
            left += [(inner, depth + 1) for pair in each.items() for inner in pair]
        elif isinstance(each, list):
            left += [(inner, depth + 1) for inner in each]
    return None


def _encodable(text: str) -> bool:
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        return False
    return True
