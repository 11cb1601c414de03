"""Reads the ended attempts of a run in bounded memory, whether it is finished or still being written.

Parquet lets a reader look at a few columns alone: a first pass over keys and statuses finds which record of
each attempt counts, and how many there are. The attempts themselves are then read a few at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agentray.data.journal import Assembler, read_lines
from agentray.data.records import SCHEMA, SCHEMA_VERSION, check_version, from_row, table, to_row
from agentray.data.shards import as_table, segments, shards
from agentray.errors import DataError, UsageError
from agentray.types import Trajectory

_T = TypeVar("_T")
_READ_TRIES = 5
"""How often a reader starts over because a live writer replaced a segment meanwhile."""
_BATCH_ROWS, _BATCH_BYTES = 256, 16 * 2**20
"""Most rows read at once, and about how many bytes they may take."""
_KEYS = ("schema_version", "key", "status")
_UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError, DataError)


class Rows(NamedTuple):
    """Some attempts of a run."""

    start: int
    """Place of the first among the run's attempts; the others follow it."""
    table: pa.Table
    """Their rows, which fit `records.SCHEMA`."""


class _Part(NamedTuple):
    """One shard, or what the journal adds."""

    source: Path | pa.Table
    start: int
    counts: np.ndarray[Any, np.dtype[np.bool_]]
    """Whether the record is the one that counts, by row."""


class RunReader:
    """The ended attempts of a run, each once: its first record counts, unless it failed.

    It needs about 100 bytes per attempt, and a few megabytes for those that it reads.

    Args:
        directory: Run directory.
        columns: Further columns to collect in `outcomes`.
        may_be_empty: Whether a directory without a single file of a run will do.

    Raises:
        UsageError: The directory is not a run.
    """

    def __init__(self, directory: Path, columns: Sequence[str] = (), *, may_be_empty: bool = False) -> None:
        self.directory, self._may_be_empty = directory, may_be_empty
        self._columns = list(dict.fromkeys([*_KEYS, *columns]))
        self.set_aside: list[str] = []
        """Files and attempts that cannot be read, by name and reason; reading may find more."""
        self.journal = Assembler()
        """What put the journal's lines together: its `open` attempts have not ended."""
        self.outcomes: pa.Table
        """`key`, `status` and the columns asked for, of every attempt, in the order of `tables`."""
        self._parts: list[_Part] = []
        consistent(self._look)

    def __len__(self) -> int:
        return int(self.outcomes.num_rows)

    def __iter__(self) -> Iterator[Trajectory]:
        for _, rows in self.tables():
            for row in rows.to_pylist():
                try:
                    yield from_row(row)
                except DataError as error:
                    self.set_aside.append(f"attempt {row['key']!r}: {error}")

    def tables(self) -> Iterator[Rows]:
        """The rows of the attempts, a few at a time."""
        for part in self._parts:
            try:
                yield from _rows(part)
            except _UNREADABLE as error:
                self.set_aside.append(f"{_name(part)}: {error}")

    def num_bytes(self) -> int:
        """About how much memory all rows would take."""
        return sum(_num_bytes(part.source) for part in self._parts)

    def check_readable(self) -> None:
        """Refuse a run of which something could not be read so far.

        What an earlier start set aside does not count: the start that finished the run made it again.

        Raises:
            DataError: There is something; the message names it.
        """
        unreadable = [each for each in self.set_aside if not each.split(":")[0].endswith(".corrupt")]
        if unreadable:
            raise DataError(
                f"not all of {str(self.directory)!r} can be read",
                "; ".join(" ".join(each.split()) for each in unreadable),
                "run the command that wrote it again, or use the agentray that did",
            )

    def _look(self) -> None:
        """Take stock of the files."""
        directory = self.directory
        if not directory.is_dir():
            raise UsageError(
                f"no run {str(directory)!r}",
                "it is a file" if directory.is_file() else "the directory does not exist",
                "give the --out of a rollout; `agentray mix --agent FILE` takes files of conversations",
            )
        self.set_aside = [f"{path.name}: set aside by an earlier run" for path in _corrupt(directory)]
        journal, self.journal, rows = read_segments(directory)
        finished = shards(directory)
        if not finished and not journal and not self.set_aside and not self._may_be_empty:
            raise UsageError(
                f"{str(directory)!r} holds no trajectories",
                "it has no shard and no journal",
                "run `agentray rollout --out` on it first",
            )
        found: list[tuple[Path | pa.Table, pa.Table]] = []
        for shard in finished:
            try:
                found.append((shard, _checked(pq.read_table(shard, columns=self._columns), self._columns)))
            except _UNREADABLE as error:
                if not shard.exists():
                    raise FileNotFoundError(shard) from error
                self.set_aside.append(f"{shard.name}: {error}")
        in_journal, _, problems = as_table(rows)
        self.set_aside += problems
        found.append((in_journal, in_journal.select(self._columns)))
        self._choose(found)

    def _choose(self, found: Sequence[tuple[Path | pa.Table, pa.Table]]) -> None:
        """Find the record of each attempt that counts."""
        everything = pa.concat_tables([columns for _, columns in found])
        counts = _counting(everything["key"], everything["status"])
        self.outcomes = everything.filter(pa.array(counts))
        self._parts, row, start = [], 0, 0
        for source, columns in found:
            chosen = counts[row : row + columns.num_rows]
            self._parts.append(_Part(source, start, chosen))
            row, start = row + columns.num_rows, start + int(chosen.sum())


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

    Segments are looked for first: one that becomes a shard meanwhile is listed twice, not missed.
    """
    journal = segments(directory)
    return shards(directory), journal


def read_segments(directory: Path) -> tuple[list[Path], Assembler, list[dict[str, Any]]]:
    """Segments of a run, what put their lines together, and the rows of the attempts that end in them.

    A reader of shards too lists them after this call, and takes them in before these rows: a segment is there
    for an instant, a shard stays, so that one made of a segment meanwhile is read twice, not missed.

    Raises:
        FileNotFoundError: A segment has become a shard since it was listed.
    """
    journal = segments(directory)
    assembler = Assembler()
    lines = (line for segment in journal for line in read_lines(segment))
    return journal, assembler, [row for row in map(assembler.add, lines) if row is not None]


def _corrupt(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.corrupt"))


def _checked(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Columns of a shard, which must be of a schema that can be read.

    Raises:
        DataError: They are of another schema.
    """
    for version in pc.unique(rows["schema_version"]).to_pylist():
        check_version(version)
    absent = [name for name in columns if name not in rows.column_names]
    for name in absent:  # it came with a later schema
        rows = rows.append_column(name, pa.nulls(rows.num_rows))
    return rows.select(columns).cast(pa.schema([SCHEMA.field(name) for name in columns]))


def _counting(keys: pa.ChunkedArray, statuses: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each record counts: an attempt's first, or the last where those before it failed."""
    counts = np.ones(len(keys), dtype=bool)
    found = pc.value_counts(keys)
    repeated = found.field("values").filter(pc.greater(found.field("counts"), 1))
    if not len(repeated):
        return counts
    rows = np.flatnonzero(pc.is_in(keys, value_set=repeated).to_numpy())
    holder: dict[str, tuple[int, str]] = {}
    for row, key, status in zip(
        rows.tolist(), keys.take(rows).to_pylist(), statuses.take(rows).to_pylist(), strict=True
    ):
        before = holder.get(key)
        if before is not None and not gives_way(before[1]):
            counts[row] = False
            continue
        if before is not None:
            counts[before[0]] = False
        holder[key] = row, status
    return counts


def _rows(part: _Part) -> Iterator[Rows]:
    """The rows of a part that count."""
    row, start = 0, part.start
    for batch in _batches(part.source):
        chosen = part.counts[row : row + batch.num_rows]
        row += batch.num_rows
        if chosen.any():
            yield Rows(start, _of_schema(batch if chosen.all() else batch.filter(pa.array(chosen))))
        start += int(chosen.sum())


def _batches(source: Path | pa.Table) -> Iterator[pa.Table]:
    if not isinstance(source, Path):
        yield source
        return
    with pq.ParquetFile(source, memory_map=True) as file:
        num_rows = max(1, file.metadata.num_rows)
        size = max(1, min(_BATCH_ROWS, _BATCH_BYTES * num_rows // max(1, _num_bytes(source))))
        for batch in file.iter_batches(batch_size=size):
            yield pa.Table.from_batches([batch])


def _of_schema(rows: pa.Table) -> pa.Table:
    """Rows as this agentray writes them."""
    if pc.unique(rows["schema_version"]).to_pylist() == [SCHEMA_VERSION]:
        return rows.select(SCHEMA.names).cast(SCHEMA)
    return table([to_row(from_row(row)) for row in rows.to_pylist()])


def _num_bytes(source: Path | pa.Table) -> int:
    if not isinstance(source, Path):
        return int(source.nbytes)
    metadata = pq.read_metadata(source)
    return sum(metadata.row_group(each).total_byte_size for each in range(metadata.num_row_groups))


def _name(part: _Part) -> str:
    return part.source.name if isinstance(part.source, Path) else "the journal"
