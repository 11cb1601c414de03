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
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from agentray import manifest
from agentray.data.journal import Assembler, Entry, Segment, read_lines
from agentray.data.lock import lock
from agentray.data.records import fitted, from_row, table, to_row
from agentray.errors import DataError, UsageError
from agentray.types import Trajectory

SEGMENT_ROWS = 512
_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_OUTCOME = ["key", "status", "env", "sample", "seed", "reward", "error"]
_READ_TRIES = 5
"""How often a reader starts over because a live writer replaced a segment meanwhile."""


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
        segment_rows: Ended attempts per shard.
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
        self._number = self._rows = 0
        self._segment: Segment | None = None
        self._sealing: Future[list[str]] | None = None
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._recover()

    def commit(self, entries: Sequence[Entry]) -> None:
        """Put entries on the disk, all or none; those of attempts that have their outcome are left out.

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
            if entry.kind == "begin":
                self.open[entry.key] = [entry.line]
            elif entry.kind == "turn":
                self.open[entry.key].append(entry.line)
            else:
                self.open.pop(entry.key, None)
                self.finished[entry.key] = str(entry.status)
                self._rows += 1
        if self._rows >= self._segment_rows:
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
        self._rows, self._number = 0, self._number + 1
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
            self._number = max(self._number, _number(shard) + 1)
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
            self._number = max(self._number, _number(segment) + 1)
            stored, problems = _write_rows(self._shard_path(), rows)
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

    Raises:
        UsageError: The directory is no run.
    """
    return consistent(lambda: _read_run(directory))


def _read_run(directory: Path) -> Contents:
    if not directory.is_dir():
        raise UsageError(
            f"no run {str(directory)!r}",
            "it is a file" if directory.is_file() else "the directory does not exist",
            "give a rollout's --out; files of conversations go to `agentray mix --agent FILE` as they are",
        )
    found: dict[str, Trajectory] = {}
    set_aside = [f"{path.name}: set aside by an earlier run" for path in sorted(directory.glob("*.corrupt"))]
    journal, _, in_journal = read_segments(directory)
    finished = shards(directory)
    if not finished and not journal and not set_aside:
        raise UsageError(
            f"{str(directory)!r} holds no trajectories",
            "it has no shard and no journal",
            "run `agentray rollout --out` on it first",
        )
    for shard in finished:
        try:
            _keep(found, pq.read_table(shard).to_pylist())
        except (pa.ArrowException, OSError, ValueError, KeyError, DataError) as error:
            if not shard.exists():
                raise FileNotFoundError(shard) from error
            set_aside.append(f"{shard.name}: {error}")
    _keep(found, in_journal)
    return Contents(list(found.values()), set_aside)


def _keep(found: dict[str, Trajectory], rows: Iterable[dict[str, Any]]) -> None:
    """Take in rows; a key's first record counts, unless it failed."""
    for row in rows:
        before = found.get(row["key"])
        if gives_way(None if before is None else before.status):
            found[row["key"]] = from_row(row)


def write_shard(path: Path, trajectories: list[Trajectory]) -> None:
    """Write trajectories as one Parquet shard, atomically.

    Raises:
        DataError: One of them cannot be stored; nothing is written.
    """
    _write_table(path, table([to_row(trajectory) for trajectory in trajectories]))


def gives_way(status: str | None) -> bool:
    """Whether what is stored of an attempt, with this status or not at all, gives way to a later record."""
    return status in (None, "failed")


def consistent(read: Callable[[], _T]) -> _T:
    """What a reader of a run's files returns, made to start over while a live writer replaces them."""
    for _ in range(_READ_TRIES - 1):
        try:
            return read()
        except FileNotFoundError:  # a segment has become a shard since it was listed
            continue
    return read()


def run_files(directory: Path) -> tuple[list[Path], list[Path]]:
    """Shards and journal segments of a run; none is missed while a live writer makes shards of segments.

    Segments are looked for first: one that becomes a shard meanwhile is listed twice, not left out.
    """
    journal = segments(directory)
    return shards(directory), journal


def read_segments(directory: Path) -> tuple[list[Path], Assembler, list[dict[str, Any]]]:
    """Segments of a run, what put their lines together, and the rows of the attempts that end in them.

    Who reads shards too lists them after this call, and takes them in before these rows: a segment is there
    for an instant, a shard stays, so that one made of a segment meanwhile is read twice, not missed.

    Raises:
        FileNotFoundError: A segment has become a shard since it was listed.
    """
    journal = segments(directory)
    assembler = Assembler()
    lines = (line for segment in journal for line in read_lines(segment))
    return journal, assembler, [row for row in map(assembler.add, lines) if row is not None]


def shards(directory: Path) -> list[Path]:
    """Finished segments, oldest first."""
    return sorted(directory.glob("shard-*.parquet"))


def segments(directory: Path) -> list[Path]:
    """Segments of the journal, oldest first."""
    return sorted(directory.glob("journal-*.jsonl"))


def _write_rows(
    path: Path, rows: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[Mapping[str, Any]], list[str]]:
    """Write rows as a shard, if there are any; the rows as stored, and what could not be."""
    problems: list[str] = []
    try:
        fitting = table(rows)
    except DataError:
        rows, problems = fitted(rows)
        fitting = table(rows)
    if rows:
        _write_table(path, fitting)
    return rows, problems


def _write_table(path: Path, rows: pa.Table) -> None:
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(rows, partial, compression="zstd")
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(partial, path)


def _to_shard(segment: Path) -> list[str]:
    """Make a shard of the attempts that end in a segment, then remove the segment.

    Returns:
        What could not be stored.
    """
    rows = [row for row in map(Assembler().add, read_lines(segment)) if row is not None]
    _, problems = _write_rows(segment.with_name(f"shard-{_number(segment):06d}.parquet"), rows)
    segment.unlink()
    return problems


def _number(path: Path) -> int:
    return int(path.name.split("-")[1].split(".")[0])
