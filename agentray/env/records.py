"""Records of an environment's own files: JSON objects, each checked before a task is made of it.

A function of the environment takes a record and raises `ValueError`, with the reason, where it cannot use it;
the error that reaches the user names file and line:

    records(Path("dev.jsonl"), "a DBBench record", "take dev.jsonl from AgentBench", content)

    error: dev.jsonl:7 is not a DBBench record
      why: its `label` is 'abc', not a list; it begins '{"label": "abc", "type":'
      fix: take dev.jsonl from AgentBench
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from agentray.encoding import fault
from agentray.errors import DataError, UsageError

T = TypeVar("T")

_GZIP = b"\x1f\x8b"
_BLANK = b" \t\r\n\xef\xbb\xbf"
"""Spaces, and the bytes of a byte order mark."""
_MISSING = object()
_WORDS: Mapping[type, str] = {str: "text", list: "a list", dict: "an object", bool: "true or false"}


def records(path: Path, kind: str, fix: str, read: Callable[[dict[str, Any]], T]) -> Iterator[tuple[int, T]]:
    """What `read` makes of each record of a file, after the number of its line.

    Args:
        path: UTF-8 file with one JSON object a line, plain or gzipped. Blank lines and byte order marks are
            skipped.
        kind: What a record is, after "is not": `a DBBench record`.
        fix: What the user may do about a file that holds something else.
        read: Makes something of a record; raises ValueError, with the reason, where it cannot.

    Raises:
        UsageError: It does not exist, is a directory, or may not be read.
        DataError: It cannot be decompressed, has no record, or a line is not such a record.
    """
    number, found = 0, False
    try:
        with _opened(path, fix) as stream:
            for number, line in enumerate(stream, 1):
                if line.strip(_BLANK):
                    found = True
                    yield number, record(f"{path}:{number}", line, kind, fix, read)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{str(path)!r} cannot be read", f"{error}, after line {number}", fix) from error
    if not found:
        raise DataError(f"{str(path)!r} holds no records", "the file is empty", fix)


def record(place: str, text: bytes, kind: str, fix: str, read: Callable[[dict[str, Any]], T]) -> T:
    """What `read` makes of one JSON object.

    Args:
        place: Where it stands, for the error.
        text: The object, in UTF-8.
        kind: As in `records`.
        fix: As in `records`.
        read: As in `records`.

    Raises:
        DataError: It is not one JSON object of Unicode text, or `read` refused it.
    """
    try:
        return read(_parsed(text))
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        begin = text.strip(_BLANK)[:60].decode("utf-8", "replace")
        raise DataError(f"{place} is not {kind}", f"{why}; it begins {begin!r}", fix) from error


def field(document: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A field of an object.

    Args:
        document: A record, or an object in one.
        name: Its name; dots lead into objects, as in `table.table_name`.
        kind: What it must be: str, list, dict or bool.

    Raises:
        ValueError: It is missing, or something else.
    """
    value: Any = document
    for key in name.split("."):
        value = value.get(key, _MISSING) if isinstance(value, dict) else _MISSING
    if value is _MISSING:
        raise ValueError(f"it has no `{name}`")
    if not isinstance(value, kind):
        raise ValueError(f"its `{name}` is {short(value)}, not {_WORDS[kind]}")
    return value


def short(value: Any) -> str:
    """A value as an error shows it: on one line, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


@contextmanager
def _opened(path: Path, fix: str) -> Iterator[IO[bytes]]:
    """A file's bytes, decompressed."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}", str(error), fix) from error
    with file:
        packed = file.peek(2).startswith(_GZIP)
        stream: Any = gzip.GzipFile(fileobj=file) if packed else file
        yield stream


def _parsed(text: bytes) -> dict[str, Any]:
    """The object of a text.

    Raises:
        ValueError: The text is not one JSON object, or holds what cannot be stored.
        RecursionError: It is nested too deeply.
    """
    try:
        value = json.loads(text.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg}, column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8: {error.reason} at byte {error.start}") from error
    except ValueError as error:  # a number of too many digits
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    _check_text(value)
    return value


def _check_text(document: dict[str, Any]) -> None:
    """Refuse what later stages cannot store.

    Raises:
        ValueError: It is nested too deeply, or text in it is not Unicode.
    """
    wrong = fault(document)
    if wrong is not None:
        reason, detail = wrong
        what = "it is nested too deeply" if reason == "nested_too_deeply" else "it is not Unicode text"
        raise ValueError(f"{what}: {detail}")
