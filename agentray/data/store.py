"""The trajectory store of one run: Parquet shards, fed by a journal that survives the death of the writer.

A finished trajectory is one line in the open journal segment before anybody is told that it is finished.
When a segment is full it becomes a Parquet shard by an atomic rename, and only then the segment is removed.
Opening a run again turns left-over segments into shards, so no attempt is lost and none is written twice:

    run/journal-000002.jsonl   the open segment
    run/shard-000000.parquet   finished segments (zstd)
    run/shard-000001.parquet.corrupt   set aside because it could not be read; its attempts are made again
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from agentray.data.records import SCHEMA, from_row, to_row
from agentray.errors import DataError, ResourceError, UsageError
from agentray.types import Trajectory

SEGMENT_ROWS = 512


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
        segment_rows: Trajectories per shard.

    Raises:
        ResourceError: Another process has this run open.
    """

    def __init__(self, directory: Path, segment_rows: int = SEGMENT_ROWS) -> None:
        self.directory = directory
        self._segment_rows = segment_rows
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(directory)
        self.set_aside: list[str] = []
        self.finished: dict[str, str] = {}
        """Status of every stored attempt, by key."""
        self._number = 0
        self._rows = 0
        self._segment: IO[str] | None = None
        self._recover()

    def append(self, trajectory: Trajectory) -> bool:
        """Store one finished attempt; False, and nothing written, when its key is stored already."""
        if trajectory.key in self.finished:
            return False
        if self._segment is None:
            self._segment = self._segment_path(self._number).open("a", encoding="utf-8")
        self._segment.write(json.dumps(to_row(trajectory), ensure_ascii=False) + "\n")
        self._segment.flush()
        self.finished[trajectory.key] = trajectory.status
        self._rows += 1
        if self._rows >= self._segment_rows:
            self._seal()
        return True

    def close(self) -> None:
        """Turn the open segment into a shard and release the run."""
        self._seal()
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
        if self._segment is not None:
            os.fsync(self._segment.fileno())
            self._segment.close()
            _to_shard(self._segment_path(self._number))
            self._segment, self._rows, self._number = None, 0, self._number + 1

    def _recover(self) -> None:
        """Set unreadable shards aside, finish interrupted segments, and learn which attempts are stored."""
        for shard in _shards(self.directory):
            self._number = max(self._number, _number(shard) + 1)
            try:
                table = pq.read_table(shard, columns=["key", "status"])
            except (pa.ArrowException, OSError, ValueError) as error:
                self.set_aside.append(f"{shard.name}: {error}")
                shard.rename(shard.with_name(shard.name + ".corrupt"))
                continue
            self.finished.update(zip(table["key"].to_pylist(), table["status"].to_pylist(), strict=True))
            self._segment_path(_number(shard)).unlink(
                missing_ok=True
            )  # the shard is complete: so is its segment
        for segment in sorted(self.directory.glob("journal-*.jsonl")):
            self._number = max(self._number, _number(segment) + 1)
            for row in _segment_rows(segment):
                self.finished[row["key"]] = row["status"]
            _to_shard(segment)


def read_run(directory: Path) -> Contents:
    """Every trajectory of a run, finished or still being written; unreadable files are named, not fatal.

    Raises:
        UsageError: The directory is no run.
    """
    if not directory.is_dir():
        raise UsageError(
            f"no run {str(directory)!r}", "the directory does not exist", "give a rollout's --out"
        )
    found: dict[str, Trajectory] = {}
    set_aside = [f"{path.name}: set aside by an earlier run" for path in sorted(directory.glob("*.corrupt"))]
    segments = sorted(directory.glob("journal-*.jsonl"))
    shards = _shards(directory)
    if not shards and not segments and not set_aside:
        raise UsageError(
            f"{str(directory)!r} holds no trajectories",
            "it has no shard and no journal",
            "run `agentray rollout --out` on it first",
        )
    for shard in shards:
        try:
            for row in pq.read_table(shard).to_pylist():
                found.setdefault(row["key"], from_row(row))
        except (pa.ArrowException, OSError, ValueError, KeyError, DataError) as error:
            set_aside.append(f"{shard.name}: {error}")
    for segment in segments:
        for row in _segment_rows(segment):
            found.setdefault(row["key"], from_row(row))
    return Contents(list(found.values()), set_aside)


def write_shard(path: Path, trajectories: list[Trajectory]) -> None:
    """Write trajectories as one Parquet shard, atomically."""
    _write_rows(path, [to_row(trajectory) for trajectory in trajectories])


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), partial, compression="zstd")
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(partial, path)


def _to_shard(segment: Path) -> None:
    rows = list(_segment_rows(segment))
    if rows:
        _write_rows(segment.with_name(f"shard-{_number(segment):06d}.parquet"), rows)
    segment.unlink()


def _segment_rows(segment: Path) -> Iterator[dict[str, Any]]:
    """Rows of a journal segment; a last line cut short by a crash was never acknowledged and is skipped."""
    with segment.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return


def _shards(directory: Path) -> list[Path]:
    return sorted(directory.glob("shard-*.parquet"))


def _number(path: Path) -> int:
    return int(path.name.split("-")[1].split(".")[0])


def _lock(directory: Path) -> IO[str]:
    path = directory / ".lock"
    stream = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.seek(0)
        owner = stream.read().strip() or "another process"
        stream.close()
        raise ResourceError(
            f"run {str(directory)!r} is in use", f"{owner} has it open", "wait for it, or give another --out"
        ) from error
    stream.truncate(0)
    stream.write(f"process {os.getpid()} on {os.uname().nodename}")
    stream.flush()
    return stream
