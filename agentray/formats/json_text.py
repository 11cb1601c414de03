"""The JSON values of a file, whatever their layout, encoding and packing, each with the line it begins on.

A value that stops before its end is the last words of a writer that died, where nothing follows it, and
damage elsewhere: the first costs one record, the second is an error that names file and line.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from agentray.errors import DataError, UsageError
from agentray.formats.reasons import short
from agentray.types import Rejection

_GZIP = b"\x1f\x8b"
_ENCODINGS: Mapping[bytes, str] = {  # UTF-32's mark begins with that of UTF-16
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_BOM = b"\xef\xbb\xbf"
_ESCAPE = re.compile(r"\\?u?[0-9a-fA-F]{0,4}")
_NUMBER = re.compile(r"\.|[eE][+-]?")
"""What may be left over of an escape, or a number, that was cut off."""
_BLANK = re.compile("[ \t\r\n\ufeff]*")
MARKS = (_GZIP, *_ENCODINGS)
"""First bytes of files that are not plain UTF-8."""


def values(path: Path) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file, each after the line that it begins on; a cut off last one is a `Rejection`.

    Raises:
        UsageError: The file does not exist, or is a directory.
        DataError: It cannot be decompressed or decoded, or a line is not JSON.
    """
    number, alone = 0, True
    try:
        with _opened(path) as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    value = parse(line)
                except (ValueError, RecursionError) as error:
                    if not (stops(line) or _goes_on(error)):
                        raise not_json(path, f"line {number}", error, line) from error
                    yield from _rest(path, number, line + stream.read(), alone)
                    return
                yield number, value
                alone = False
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot read {str(path)!r}", f"{error}, after line {number}", "write the file again"
        ) from error


def _rest(path: Path, line: int, data: bytes, alone: bool) -> Iterator[tuple[int, Any]]:
    """The values of the rest of a file where a line is not just one value: it has several, or the first part.

    Args:
        path: For errors.
        line: Which line the rest begins with.
        data: The rest.
        alone: Whether no value came before.
    """
    text, position = _text(path, line, data), 0
    decoder = _decoder(text)
    while (begin := _BLANK.match(text, position).end()) < len(text):  # type: ignore[union-attr]
        line += text.count("\n", position, begin)
        try:
            value, position = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError) as error:
            start = text[begin : begin + 200]
            if not stops(text[begin:]) or _next_is_record(text, begin):
                at = line
                if isinstance(error, json.JSONDecodeError):
                    at += text.count("\n", begin, error.pos)
                where = f"line {at}" if at == line else f"line {at}, in the value that begins on line {line}"
                raise not_json(path, where, error, start) from error
            if alone:
                raise DataError(
                    f"{str(path)!r} is cut off",
                    f"it ends in the middle of the value that begins on line {line}",
                    "write the file again",
                ) from error
            yield line, cut_off(f"{path.name}:{line}", start)
            return
        yield line, value
        line += text.count("\n", begin, position)
        alone = False


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A file's text as UTF-8, decompressed, without a byte order mark."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        why = "it is a directory" if path.is_dir() else "it does not exist"
        raise UsageError(f"no file {str(path)!r}", why, "give a .json or .jsonl file") from error
    with file:
        packed = file.peek(2).startswith(_GZIP)
        stream: Any = gzip.GzipFile(fileobj=file) if packed else file
        head = stream.peek(4)
        encoding = next((name for mark, name in _ENCODINGS.items() if head.startswith(mark)), None)
        if encoding is not None:
            try:
                stream = io.BytesIO(stream.read().decode(encoding).encode())
            except UnicodeDecodeError as error:
                raise DataError(f"cannot read {str(path)!r}", str(error), "write it as UTF-8") from error
        yield stream


def parse(line: bytes) -> Any:
    """The value of a line.

    Raises:
        ValueError: It is not just one JSON value in UTF-8.
        RecursionError: It is nested too deeply.
    """
    text = line.removeprefix(_BOM).decode("utf-8")
    return _decoder(text).decode(text)


def _decoder(text: str) -> json.JSONDecoder:
    # A NUL inside a string costs its record; to the strict decoder it would cost the file.
    return json.JSONDecoder(strict="\0" not in text)


def _goes_on(error: Exception) -> bool:
    """Whether a line has another value after its first."""
    return isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"


def stops(given: str | bytes) -> bool:
    """Whether a value that cannot be read is right as far as it goes, but stops before its end."""
    try:
        # Zeros are what a file system may leave of a writer that died.
        text = (given if isinstance(given, str) else given.decode("utf-8")).strip("\ufeff\0 \t\r\n")
        if text:
            _decoder(text).raw_decode(text)
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.end == len(error.object)
    except json.JSONDecodeError as error:
        left = text[error.pos :]
        if error.msg.startswith(("Unterminated", "Invalid \\")):
            return error.msg.startswith("Unterminated") or _ESCAPE.fullmatch(left) is not None
        literal = any(word.startswith(left) for word in ("true", "false", "null", "NaN", "-Infinity"))
        return literal or _NUMBER.fullmatch(left) is not None
    except (ValueError, RecursionError):
        return False
    return not text


def _text(path: Path, line: int, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if stops(data):
            return data[: error.start].decode("utf-8")
        number = line + data.count(b"\n", 0, error.start)
        raise not_json(path, f"line {number}", error, data[error.start : error.start + 60]) from error


def _next_is_record(text: str, begin: int) -> bool:
    """Whether the line after the one at `begin` is a whole record: damage, and not the end of the file."""
    for line in islice(filter(str.strip, io.StringIO(text[begin:], newline="\n")), 1, 2):
        try:
            return isinstance(json.loads(line), dict | list)
        except (ValueError, RecursionError):
            return False
    return False


def cut_off(place: str, start: str | bytes) -> Rejection:
    """The rejection of a record that the end of the file cut off."""
    return Rejection(place, "cut_off_line", f"the file ends in the middle of what begins {_shown(start)}")


def not_json(path: Path, where: str, error: Exception, start: str | bytes) -> DataError:
    """The error for a line that is not JSON."""
    said = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    if isinstance(error, RecursionError):
        said = "it is nested too deeply"
    return DataError(
        f"cannot read {str(path)!r}, {where}",
        f"not JSON: {said}; it begins {_shown(start)}",
        "correct that line, or write the file again",
    )


def _shown(start: str | bytes) -> str:
    text = start if isinstance(start, str) else start.decode("utf-8", "replace")
    return short(text.strip("\ufeff \t\r\n")[:58])
