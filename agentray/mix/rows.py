"""Tokenized samples on disk: Arrow files of bounded size, mapped into memory and read a row at a time."""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from agentray import manifest
from agentray.mix.samples import Ids, Mask, Sample

_BATCH_ROWS = 256
"""Rows of a record batch; the last one of a file may have fewer."""
_FILE_BYTES = 256 * 1024 * 1024
"""Size from which a file is followed by another."""
_SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("loss", pa.list_(pa.int32()))])
"""`loss` holds the edges of the stretches with loss: start, end, start, end, ..."""


class RowWriter:
    """Writes the samples of one source.

    Args:
        directory: Where its files go.
        name: First part of their names.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self._ids: list[Ids] = []
        self._edges: list[npt.NDArray[np.int32]] = []
        self._file: Any = None
        self._bytes = 0
        self.files: list[dict[str, Any]] = []
        """Name, number of rows and digest of each file; complete after `close`."""

    def add(self, sample: Sample) -> None:
        """Write a sample; its prefix is that of its source, and not kept here."""
        mask = np.concatenate([[False], sample.loss_mask, [False]]).astype(np.int8)
        self._ids.append(sample.input_ids)
        self._edges.append(np.flatnonzero(np.diff(mask)).astype(np.int32))
        if len(self._ids) == _BATCH_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._end_file()

    def _flush(self) -> None:
        if not self._ids:
            return
        if self._file is None:
            path = self._directory / f"{self._name}-{len(self.files):04d}.arrow"
            self._file = pa.ipc.new_file(path, _SCHEMA)
            self.files.append({"name": path.name, "rows": 0})
        batch = pa.record_batch([_lists(self._ids), _lists(self._edges)], schema=_SCHEMA)
        self._file.write_batch(batch)
        self.files[-1]["rows"] += len(batch)
        self._bytes += batch.nbytes
        self._ids, self._edges = [], []
        if self._bytes >= _FILE_BYTES:
            self._end_file()

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self.files[-1]["digest"] = manifest.digest(self._directory / self.files[-1]["name"])
            self._file, self._bytes = None, 0


class Rows(Sequence[Sample]):
    """Samples of one source, each read when it is asked for; a slice reads none.

    Args:
        paths: Files that a `RowWriter` wrote.
        prefix_length: Leading tokens that all of them have in common.
        largest_id: The largest token id in them.

    Raises:
        OSError: A file is not there.
        ValueError: A file is damaged.
    """

    def __init__(self, paths: Sequence[Path], *, prefix_length: int, largest_id: int) -> None:
        self._readers = [_opened(path) for path in paths]
        self._starts = [0, *accumulate(map(_num_rows, self._readers))]
        self._prefix_length, self.largest_id = prefix_length, largest_id
        self._chosen: range | npt.NDArray[np.int64] = range(self._starts[-1])
        """Which rows of the files these are."""

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Rows: ...

    def __getitem__(self, index: int | slice) -> Sample | Rows:
        if isinstance(index, slice):
            return self._only(self._chosen[index])
        row = int(self._chosen[index])
        number = bisect_right(self._starts, row) - 1
        batch, offset = divmod(row - self._starts[number], _BATCH_ROWS)
        ids, edges = (
            column[offset].values.to_numpy() for column in self._readers[number].get_batch(batch).columns
        )
        mask: Mask = np.zeros(len(ids), np.bool_)
        for start, end in edges.reshape(-1, 2):
            mask[start:end] = True
        return Sample(ids.copy(), mask, self._prefix_length)

    def only(self, rows: npt.NDArray[np.int64]) -> Rows:
        """Some of these rows, in the order given."""
        return self._only(np.asarray(self._chosen)[rows])

    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each sample, without reading them: int64 (rows,)."""
        found = [np.diff(each.column(0).offsets.to_numpy()) for each in self._batches()]
        counted: npt.NDArray[np.int64] = np.concatenate([np.zeros(0, np.int64), *found])
        chosen: npt.NDArray[np.int64] = counted[np.asarray(self._chosen, np.int64)]
        return chosen

    def _only(self, chosen: range | npt.NDArray[np.int64]) -> Rows:
        found = object.__new__(Rows)
        found.__dict__ = {**self.__dict__, "_chosen": chosen}
        return found

    def _batches(self) -> Iterator[Any]:
        for reader in self._readers:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)


def lengths(samples: Sequence[Sample]) -> npt.NDArray[np.int64]:
    """Tokens of each sample, without reading those that lie on disk: int64 (samples,)."""
    if isinstance(samples, Rows):
        return samples.lengths()
    return np.asarray([len(each.input_ids) for each in samples], np.int64)


def largest_id(samples: Sequence[Sample]) -> int:
    """The largest token id in some samples, or in the source they are of; -1 where there is none."""
    if isinstance(samples, Rows):
        return samples.largest_id
    return max((int(each.input_ids.max()) for each in samples), default=-1)


def _lists(arrays: Sequence[npt.NDArray[np.int32]]) -> Any:
    """Arrays as one Arrow array of lists."""
    offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, np.concatenate(arrays))


def _opened(path: Path) -> Any:
    """A file mapped into memory, of which the pages of a row are read and none around them."""
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM"):
        mapped.madvise(mmap.MADV_RANDOM)
    return pa.ipc.open_file(pa.py_buffer(mapped))


def _num_rows(reader: Any) -> int:
    if reader.schema != _SCHEMA:
        raise ValueError(f"its columns are {reader.schema.names}")
    last = reader.num_record_batches - 1
    return last * _BATCH_ROWS + reader.get_batch(last).num_rows if last >= 0 else 0
