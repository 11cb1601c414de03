"""Records of JSON files, each with its place; the content says how they are laid out, not the file's name.

JSON lines, an array, an object that wraps one, a single record, records one after another over several lines;
UTF-8, or UTF-16 and UTF-32 with a byte order mark; plain or gzipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeGuard

from agentray.encoding import fault
from agentray.errors import DataError
from agentray.formats.json_text import MARKS, cut_off, not_json, parse, stops, values
from agentray.types import Rejection

_WRAPPERS = frozenset({"data", "dataset", "examples", "items", "records", "rows", "samples", "train"})
"""Fields that hold the records of an object; others do where their items look like conversations."""
_SAID = frozenset({"messages", "conversations", "conversation", "prompt", "instruction"})
"""Fields that make an object a record itself."""


def records(path: Path) -> Iterator[tuple[str, Any]]:
    """The records of a file, each after its place.

    The place is `NAME:LINE`, or `NAME:NUMBER` for the records of one array. A record that cannot be used
    whatever it means comes as a `Rejection`: a last line that was cut off, or text that is not Unicode.

    Raises:
        UsageError: The file does not exist, or is a directory.
        DataError: It cannot be decompressed or decoded, or a line is not JSON.
    """
    found = values(path)
    first = list(islice(found, 2))
    if len(first) == 1 and (inner := _inner(path, first[0][1])) is not None:
        for number, record in enumerate(inner, 1):
            place = f"{path.name}:{number}"
            yield place, checked(place, record)
        return
    for line, value in chain(first, found):
        place = f"{path.name}:{line}"
        if _are_records(value) and value:
            for number, record in enumerate(value, 1):
                yield f"{place}[{number}]", checked(f"{place}[{number}]", record)
        else:
            yield place, checked(place, value)


def lines(path: Path, start: int, stop: int) -> Iterator[tuple[str, Any]]:
    """The records of the lines that begin in a byte range, each after its place, `NAME at byte OFFSET`.

    For files of which `has_lines` is true.

    Raises:
        DataError: A line is not JSON.
    """
    size = path.stat().st_size
    for offset, line in byte_lines(path, start, stop):
        if not line.strip():
            continue
        place = f"{path.name} at byte {offset}"
        try:
            value = parse(line)
        except (ValueError, RecursionError) as error:
            if offset + len(line) < size or not stops(line):
                raise not_json(path, f"byte {offset}", error, line) from error
            value = cut_off(place, line)
        yield place, checked(place, value)


def byte_lines(path: Path, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """The lines that begin in a byte range, each after its offset."""
    with path.open("rb") as stream:
        if start:
            stream.seek(start - 1)
            start += len(stream.readline()) - 1
        while start < stop and (line := stream.readline()):
            yield start, line
            start += len(line)


def has_lines(path: Path) -> bool:
    """Whether a file holds one record a line, as its first two lines show: it may be read in parts."""
    with path.open("rb") as stream:
        head = stream.read(4)
        if head.startswith(MARKS):
            return False
        stream.seek(0)
        try:
            found = [parse(line) for line in islice(filter(bytes.strip, stream), 2)]
        except (ValueError, RecursionError):
            return False
    return len(found) == 2 and all(isinstance(each, dict) for each in found)


def checked(place: str, value: Any) -> Any:
    """The record, or its rejection where text or nesting makes it useless."""
    wrong = fault(value)
    return Rejection(place, *wrong) if wrong else value


def is_message(value: Any) -> bool:
    """Whether something is one message of a conversation."""
    return isinstance(value, dict) and ("role" in value or "from" in value)


def _inner(path: Path, value: Any) -> list[Any] | None:
    """The records inside the only value of a file; None where it is a record itself."""
    if isinstance(value, list) and _are_records(value):
        return value
    if not isinstance(value, dict):
        return None
    found = {name: each for name, each in value.items() if each and _are_records(each)}
    found = {name: each for name, each in found.items() if name in _WRAPPERS or _look_said(each)}
    if not found or _SAID & (value.keys() - found.keys()):
        return None
    if len(found) > 1:
        raise DataError(
            f"{str(path)!r} holds more than one list of records",
            f"they are called {', '.join(map(repr, found))}",
            "write each into a file of its own",
        )
    return next(iter(found.values()))


def _are_records(value: Any) -> TypeGuard[list[Any]]:
    """Whether a value is a list of records, and not a conversation."""
    if not isinstance(value, list) or not all(isinstance(each, dict | list) for each in value):
        return False
    return not any(map(is_message, value))


def _look_said(found: list[Any]) -> bool:
    """Whether all of some records look like conversations."""
    return all(
        any(map(is_message, each)) if isinstance(each, list) else bool(_SAID & each.keys()) for each in found
    )
