"""JSON on the hot path: every model call is encoded twice and decoded twice."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode(document: Any) -> bytes:
    """A document of plain data as UTF-8 JSON on one line; what is no number or infinite becomes null."""
    try:
        return _encoder.encode(document)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can only escape
        return json.dumps(document).encode()


def decode(data: bytes) -> Any:
    """The document in JSON text.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deeply.
    """
    try:
        return _decoder.decode(data)
    except ValueError:  # or one that only Python's own module takes: escaped halves of surrogate pairs, NaN
        return json.loads(data)
