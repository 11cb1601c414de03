"""Attempts of several runs, best reward first, in bounded memory: an external sort.

The order follows from three columns. The rows are then spread over files by their place in it, so that each
file, sorted in memory, continues where the one before it ends. Few rows need no file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentray.data.reading import RunReader
from agentray.data.records import SCHEMA

COLUMNS = ("reward",)
"""What a reader must collect to be ranked."""
_CHUNK_BYTES = 32 * 2**20
"""About how much is sorted in memory at once; some six times as much is held meanwhile."""
_MOST_FILES = 256
"""They are open at once, and a process may not have many more: very large runs are sorted in larger parts."""
_BATCH_ROWS = 256
_PLACE, _RUN = "_place", "_run"


class Ranked(NamedTuple):
    """The next attempts."""

    runs: list[int]
    """Which reader each comes from."""
    table: pa.Table
    """Their rows, which fit `records.SCHEMA`."""


def best_first(readers: Sequence[RunReader], scratch: Path) -> Iterator[Ranked]:
    """All attempts of some runs: best reward first, equal ones by key, then by run.

    Args:
        readers: The runs, opened with `COLUMNS`. An attempt without a reward ranks as one with 0.
        scratch: A directory for temporary files, made and removed.
    """
    places = _places(readers)
    chunks = _chunks(readers, places)
    first, second = next(chunks, None), next(chunks, None)
    if first is None:
        return
    if second is None:
        yield from _batches(_sorted(first))
        return
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        rows_per_file = max(first.num_rows, -(-len(places) // _MOST_FILES))
        paths = _spread(chain([first, second], chunks), rows_per_file, len(places), scratch)
        first = second = None  # from here on one file's rows are in memory
        for path in paths:
            with pa.ipc.open_stream(path) as stream:
                rows = stream.read_all()
            path.unlink()
            yield from _batches(_sorted(rows))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _places(readers: Sequence[RunReader]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Place of each attempt in the order; run after run."""
    columns = [
        pa.table(
            {
                "reward": pc.fill_null(each.outcomes["reward"], 0.0),
                "key": each.outcomes["key"],
                "run": pa.array(np.full(len(each), number, dtype=np.int32)),
            }
        )
        for number, each in enumerate(readers)
    ]
    order = pc.sort_indices(
        pa.concat_tables(columns),
        sort_keys=[("reward", "descending"), ("key", "ascending"), ("run", "ascending")],
    ).to_numpy()
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places


def _chunks(readers: Sequence[RunReader], places: np.ndarray[Any, np.dtype[np.int64]]) -> Iterator[pa.Table]:
    """Rows with their place and run, about `_CHUNK_BYTES` at a time."""
    waiting: list[pa.Table] = []
    num_bytes = offset = 0
    for number, reader in enumerate(readers):
        for start, rows in reader.tables():
            where = places[offset + start : offset + start + rows.num_rows]
            runs = np.full(rows.num_rows, number, dtype=np.int32)
            waiting.append(rows.append_column(_PLACE, pa.array(where)).append_column(_RUN, pa.array(runs)))
            num_bytes += rows.nbytes
            if num_bytes >= _CHUNK_BYTES:
                yield pa.concat_tables(waiting)
                waiting, num_bytes = [], 0
        offset += len(reader)
    if waiting:
        yield pa.concat_tables(waiting)


def _spread(chunks: Iterator[pa.Table], rows_per_file: int, num_rows: int, scratch: Path) -> list[Path]:
    """Files of consecutive places, each with so many rows."""
    num_files = -(-num_rows // rows_per_file)
    paths = [scratch / f"{number:06d}.arrow" for number in range(num_files)]
    edges = np.arange(num_files + 1) * rows_per_file
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with ExitStack() as stack:
        writers: list[Any] = []
        for chunk in chunks:
            if not writers:
                writers += [
                    stack.enter_context(pa.ipc.new_stream(path, chunk.schema, options=options))
                    for path in paths
                ]
            ordered = _sorted(chunk)
            cuts = np.searchsorted(ordered[_PLACE].to_numpy(), edges)
            for writer, start, stop in zip(writers, cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
                if stop > start:
                    writer.write_table(ordered.slice(start, stop - start))
    return paths


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.take(np.argsort(rows[_PLACE].to_numpy()))


def _batches(rows: pa.Table) -> Iterator[Ranked]:
    runs, plain = rows[_RUN].to_pylist(), rows.select(SCHEMA.names)
    for start in range(0, rows.num_rows, _BATCH_ROWS):
        yield Ranked(runs[start : start + _BATCH_ROWS], plain.slice(start, _BATCH_ROWS))
