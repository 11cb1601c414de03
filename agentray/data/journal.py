"""The journal of a run: a line for each thing that happened to an attempt, on disk before anybody acts on it.

    {"key", "lease", "begin": {...}, "state"}   the first observation came; a second `begin` starts anew
    {"key", "lease", "turn": 3, "row": {...}}   a reply was paid for, and the environment answered
    {"key", "lease", "end": {...}, "turns": 4}  the one outcome, and over how many turns, unless it failed

Each also says when (`at`, in seconds of the wall clock: for people, nothing is decided by it). An attempt's
lines, put together, are its row in the store; those of an attempt that has not ended are what it
is resumed from. A line cut short by a crash was never acknowledged and is ignored.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agentray.data.records import Ended, head, tail, to_turn, turn_row
from agentray.encoding import decode, encode
from agentray.errors import DataError
from agentray.types import Attempt, Message, Status, Trajectory, Turn


class Entry(NamedTuple):
    """One line of the journal, and what its readers must know without parsing it."""

    key: str
    lease: int
    """Which handing-out of the attempt it belongs to, from 1."""
    kind: Literal["begin", "turn", "end"]
    line: bytes
    """JSON without the line's end."""
    status: Status | None = None
    """Of an `end`."""
    tokens: int = 0
    """Sampled in a `turn`."""
    prefix_kept: bool = True
    """Of a `turn`: False where the ids of the turn before could not be extended."""


def begun(
    attempt: Attempt | Trajectory, lease: int, prompt: Sequence[Message] = (), state: str | None = None
) -> Entry:
    """The attempt's first observation came, with this digest; it is the last message of the prompt."""
    return _entry(attempt.key, lease, "begin", {"begin": head(attempt, prompt), "state": state})


def turned(key: str, lease: int, index: int, turn: Turn) -> Entry:
    """Turn number `index` of the attempt is done."""
    usage = turn.reply.usage
    tokens = usage.completion_tokens if usage else 0
    entry = _entry(key, lease, "turn", {"turn": index, "row": turn_row(turn)})
    return entry._replace(tokens=tokens, prefix_kept=turn.reply.prefix_kept is not False)


def ended(key: str, lease: int, end: Ended, num_turns: int) -> Entry:
    """The attempt has its outcome, after so many turns; one that failed may have lost some."""
    body = {"end": tail(end), "turns": None if end.status == "failed" else num_turns}
    return _entry(key, lease, "end", body)._replace(status=end.status)


def entries(trajectory: Trajectory, lease: int = 1) -> list[Entry]:
    """All entries of an attempt that is over."""
    key = trajectory.key
    turns = [turned(key, lease, index, turn) for index, turn in enumerate(trajectory.turns)]
    return [begun(trajectory, lease, trajectory.prompt), *turns, ended(key, lease, trajectory, len(turns))]


def _entry(key: str, lease: int, kind: Literal["begin", "turn", "end"], body: dict[str, Any]) -> Entry:
    return Entry(key, lease, kind, encode({"key": key, "lease": lease, "at": int(time.time()), **body}))


@dataclass(frozen=True)
class History:
    """What was recorded of an attempt that did not end."""

    prompt: tuple[Message, ...]
    state: str | None
    """Digest of the first observation."""
    turns: tuple[Turn, ...]


def history(lines: Sequence[bytes]) -> History | None:
    """What the lines of an open attempt say; None when they say nothing that can be resumed from."""
    try:
        documents = [decode(line) for line in lines]
        first, turns = documents[0], documents[1:]
        if [each["turn"] for each in turns] != list(range(len(turns))):
            return None
        return History(
            prompt=tuple(Message(**message) for message in first["begin"]["prompt"]),
            state=first["state"],
            turns=tuple(to_turn(each["row"]) for each in turns),
        )
    except (ValueError, KeyError, TypeError, IndexError):
        return None


@dataclass
class Assembler:
    """Puts lines together: rows of the attempts that ended, lines of those that did not."""

    open: dict[str, list[bytes]] = field(default_factory=dict)
    unreadable: int = 0
    """Lines that are not entries, or continue what never began."""
    _documents: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What the lines in `open` say."""

    def add(self, line: bytes) -> dict[str, Any] | None:
        """Take the next line; the row of the attempt that it ends, if it ends one."""
        try:
            document = decode(line)
            key = document["key"]
            if "begin" in document:
                self.open[key], self._documents[key] = [line], [document]
                return None
            begin, *turns = self._documents[key]
            if document["turn" if "turn" in document else "turns"] not in (None, len(turns)):
                raise ValueError("a turn is missing")
            if "turn" in document:
                self.open[key].append(line)
                self._documents[key].append(document)
                return None
            row = {**begin["begin"], "turns": [turn["row"] for turn in turns], **document["end"]}
            del self.open[key], self._documents[key]
            return row
        except (ValueError, KeyError, TypeError):
            self.unreadable += 1
            return None


class Segment:
    """An open file of the journal.

    Args:
        path: The file, made if absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._file).st_size
        self._torn = False

    def append(self, lines: Iterable[bytes]) -> None:
        """Write lines and wait until they are on the disk; all of them, or none when it raises `OSError`."""
        if self._torn:
            os.ftruncate(self._file, self._size)
        self._torn = True
        data = memoryview(b"".join(line + b"\n" for line in lines))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_lines(path: Path) -> Iterator[bytes]:
    """Whole lines of a segment, without their ends.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    yield line[:-1]
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(
            f"cannot read {str(path)!r}", str(error), "check the disk, then run the same command again"
        ) from error
