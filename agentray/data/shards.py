"""Parquet shards: how a run's files are listed, written whole or not at all, and kept within bounds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agentray.data.records import SCHEMA, fitted, table
from agentray.errors import DataError

SHARD_ROWS = 4096
SHARD_BYTES = 64 * 2**20
"""A shard ends with the row that reaches either limit; bytes are those of the rows in memory."""


def shards(directory: Path) -> list[Path]:
    """Finished shards, oldest first."""
    return sorted(directory.glob("shard-*.parquet"))


def segments(directory: Path) -> list[Path]:
    """Segments of the journal, oldest first."""
    return sorted(directory.glob("journal-*.jsonl"))


def number(path: Path) -> int:
    """Number of a shard or segment."""
    return int(path.name.split("-")[1].split(".")[0])


class ShardWriter:
    """Writes rows as shards of bounded size; the last one is written when the block ends without an error.

    Args:
        directory: Where the shards go; it exists.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._waiting: list[pa.Table] = []
        self._rows = self._bytes = self._number = 0

    def add(self, rows: pa.Table) -> None:
        """Take rows that fit `SCHEMA`."""
        self._waiting.append(rows)
        self._rows += rows.num_rows
        self._bytes += rows.nbytes
        if self._rows >= SHARD_ROWS or self._bytes >= SHARD_BYTES:
            self._write()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._rows:
            self._write()

    def _write(self) -> None:
        path = self._directory / f"shard-{self._number:06d}.parquet"
        write_table(path, pa.concat_tables(self._waiting))
        self._waiting, self._rows, self._bytes = [], 0, 0
        self._number += 1


def write_rows(
    path: Path, rows: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[Mapping[str, Any]], list[str]]:
    """Write rows as a shard, if there are any; the rows as stored, and what could not be."""
    fitting, rows, problems = as_table(rows)
    if rows:
        write_table(path, fitting)
    return rows, problems


def as_table(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[pa.Table, Sequence[Mapping[str, Any]], list[str]]:
    """Rows as a table, those rows, and what could not be stored; see `records.fitted`."""
    if not rows:
        return SCHEMA.empty_table(), rows, []
    try:
        return table(rows), rows, []
    except DataError:
        fitting, problems = fitted(rows)
        return table(fitting), fitting, problems


def write_table(path: Path, rows: pa.Table) -> None:
    """Write a table as Parquet (zstd); a reader sees all of it or no file."""
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(rows, partial, compression="zstd")
    with partial.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(partial, path)
