"""The trajectory store of one run: Parquet shards, fed by a journal that survives the death of the writer.

What happens to an attempt is a line in the open journal segment before anybody acts on it (journal.py). When
a segment holds enough ended attempts it becomes a Parquet shard by an atomic rename; the lines of those that
still run are carried over into the next segment first. Opening a run again turns left-over segments into
shards, so no attempt is lost and none is written twice:

    run/journal-000002.jsonl   the open segment
    run/shard-000000.parquet   finished segments (zstd)
    run/shard-000001.parquet.corrupt   set aside because it could not be read; its attempts are made again

An attempt that `failed` may be made again; the later record then counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agentray import manifest
from agentray.data.journal import Assembler, Entry, Segment, read_lines
from agentray.data.lock import lock
from agentray.data.reading import RunReader, gives_way
from agentray.data.records import table, to_row
from agentray.data.shards import SHARD_BYTES, number, segments, shards, write_rows, write_table
from agentray.types import Trajectory

SEGMENT_ROWS = 512
_log = logging.getLogger(__name__)
_OUTCOME = ["key", "status", "env", "sample", "seed", "reward", "error"]


@dataclass(frozen=True)
class Contents:
    """What a run directory holds."""

    trajectories: list[Trajectory]
    set_aside: list[str] = field(default_factory=list)
    """Files that could not be read, by name and reason."""


class RunStore:
    """Writer of one run directory; refuses to be opened twice at once.

    Args:
        directory: Run directory, made if absent.
        segment_rows: Most ended attempts per shard; one of `SHARD_BYTES` of journal ends sooner.
        retry_failed: Whether attempts that failed may have another outcome.

    Raises:
        UsageError: The directory is a file, or cannot be made.
        ResourceError: Another process has this run open, or the disk has no locks.
    """

    def __init__(
        self, directory: Path, segment_rows: int = SEGMENT_ROWS, *, retry_failed: bool = False
    ) -> None:
        self.directory = directory
        self._segment_rows, self._retry_failed = segment_rows, retry_failed
        manifest.make_directory(directory)
        self._lock = lock(directory)
        self.set_aside: list[str] = []
        """Files, lines and attempts that could not be read or stored, by name and reason."""
        self.finished: dict[str, str] = {}
        """Status of every attempt that has its outcome, by key."""
        self.earlier: dict[tuple[str, int, int], tuple[str, float | None, str | None]] = {}
        """Status, reward and error of what earlier starts finished, by environment, sample and seed."""
        self.open: dict[str, list[bytes]] = {}
        """Journal lines of the attempts that have begun and not ended, by key."""
        self._number = self._rows = self._bytes = 0
        self._segment: Segment | None = None
        self._sealing: Future[list[str]] | None = None
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._recover()

    def commit(self, entries: Sequence[Entry]) -> None:
        """Put entries on the disk, all or none; those of attempts that have their outcome are dropped.

        Raises:
            OSError: The disk is full or gone; the same call may be made again.
        """
        fresh = [entry for entry in entries if entry.key not in self.finished]
        if not fresh:
            return
        if self._segment is None:
            self._segment = Segment(self._segment_path(self._number))
        self._segment.append(entry.line for entry in fresh)
        for entry in fresh:
            self._bytes += len(entry.line)
            if entry.kind == "begin":
                self.open[entry.key] = [entry.line]
            elif entry.kind == "turn":
                self.open[entry.key].append(entry.line)
            else:
                self.open.pop(entry.key, None)
                self.finished[entry.key] = str(entry.status)
                self._rows += 1
        if self._rows >= self._segment_rows or (self._rows and self._bytes >= SHARD_BYTES):
            self._seal()

    def forget(self, key: str) -> None:
        """An open attempt will begin anew: what is recorded of it is not carried on."""
        self.open.pop(key, None)

    def close(self) -> None:
        """Turn the open segment into a shard and release the run."""
        try:
            self._seal()
            self._sealed()
        finally:
            self._sealer.shutdown()
            if self._segment is not None:
                self._segment.close()
            self._lock.close()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _segment_path(self, number: int) -> Path:
        return self.directory / f"journal-{number:06d}.jsonl"

    def _seal(self) -> None:
        """Go on in the next segment; the full one becomes a shard in the background."""
        if self._segment is None:
            return
        self._sealed()
        try:
            full, self._segment = self._segment, self._carried(self._number + 1)
        except OSError as error:  # nothing is lost: what was committed stays in this segment
            _log.warning("segment %d stays open: %s", self._number, error)
            return
        self._rows, self._bytes, self._number = 0, 0, self._number + 1
        full.close()
        self._sealing = self._sealer.submit(_to_shard, full.path)

    def _sealed(self) -> None:
        """Wait for the last shard; one that could not be written stays a segment, which readers know too."""
        if self._sealing is not None:
            sealing, self._sealing = self._sealing, None
            try:
                self._set_aside(sealing.result())
            except OSError as error:
                _log.warning("a segment stays a segment: %s", error)

    def _carried(self, number: int) -> Segment | None:
        """A segment that begins with the lines of the attempts that still run; None when none does."""
        lines = [line for _, recorded in list(self.open.items()) for line in list(recorded)]
        if not lines:
            return None
        segment = Segment(self._segment_path(number))
        try:
            segment.append(lines)
        except OSError:
            segment.close()
            raise
        return segment

    def _recover(self) -> None:
        """Set unreadable shards aside, finish interrupted segments, and learn what is stored."""
        for shard in shards(self.directory):
            self._number = max(self._number, number(shard) + 1)
            try:
                rows = pq.read_table(shard, columns=_OUTCOME).to_pylist()
            except (pa.ArrowException, OSError, ValueError) as error:
                self.set_aside.append(f"{shard.name}: {error}")
                shard.rename(shard.with_name(shard.name + ".corrupt"))
                continue
            self._learn(rows)
        left_over = segments(self.directory)
        assembler = Assembler()
        for segment in left_over:
            rows = [row for row in map(assembler.add, read_lines(segment)) if row is not None]
            rows = [row for row in rows if gives_way(self.finished.get(row["key"]))]
            self._number = max(self._number, number(segment) + 1)
            stored, problems = write_rows(self._shard_path(), rows)
            self._set_aside(problems)
            self._learn(stored)
            self._number += bool(stored)
        if assembler.unreadable:
            self.set_aside.append(f"journal: {assembler.unreadable} unreadable lines")
        self.open = {key: lines for key, lines in assembler.open.items() if key not in self.finished}
        self._segment = self._carried(self._number)
        for segment in left_over:
            segment.unlink()

    def _set_aside(self, problems: Iterable[str]) -> None:
        for problem in problems:
            _log.warning("%s", problem)
            self.set_aside.append(problem)

    def _learn(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note the outcomes of stored attempts; one that failed gives way."""
        for row in rows:
            failed = row["status"] == "failed"
            if (failed and self._retry_failed) or not gives_way(self.finished.get(row["key"])):
                continue
            self.finished[row["key"]] = row["status"]
            self.earlier[row["env"], row["sample"], row["seed"]] = (
                row["status"],
                row["reward"],
                row["error"] if failed else None,
            )

    def _shard_path(self) -> Path:
        return self.directory / f"shard-{self._number:06d}.parquet"


def read_run(directory: Path) -> Contents:
    """Every ended attempt of a run, finished or still being written; unreadable files are named, not fatal.

    All of it is in memory at once: what may read a large run uses `iterate_run` or `RunReader`.

    Raises:
        UsageError: The directory is not a run.
    """
    reader = RunReader(directory)
    return Contents(list(reader), reader.set_aside)


def iterate_run(directory: Path) -> Iterator[Trajectory]:
    """The ended attempts of a run, one after the other, in bounded memory; see `RunReader`.

    Raises:
        UsageError: The directory is not a run.
        DataError: A file cannot be read. Attempts that were made again after a file was set aside are there.
    """
    reader = RunReader(directory)
    reader.check_readable()
    yield from reader
    reader.check_readable()


def write_shard(path: Path, trajectories: list[Trajectory]) -> None:
    """Write trajectories as one Parquet shard, atomically.

    Raises:
        DataError: One of them cannot be stored; nothing is written.
    """
    write_table(path, table([to_row(trajectory) for trajectory in trajectories]))


def _to_shard(segment: Path) -> list[str]:
    """Make a shard of the attempts that end in a segment, then remove the segment.

    Returns:
        What could not be stored.
    """
    rows = [row for row in map(Assembler().add, read_lines(segment)) if row is not None]
    _, problems = write_rows(segment.with_name(f"shard-{number(segment):06d}.parquet"), rows)
    segment.unlink()
    return problems
