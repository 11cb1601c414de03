"""Samples on disk: equal to those written, and read one at a time."""

import mmap

import numpy as np
import pytest

from agentray.mix import rows as module
from agentray.mix.rows import Rows, RowWriter, largest_id, lengths
from agentray.mix.samples import Sample


@pytest.fixture
def samples():
    """Samples of odd lengths, with loss at both ends, in the middle and in several stretches."""
    rng = np.random.default_rng(0)
    found = []
    for length in rng.integers(2, 90, 700):
        mask = rng.random(length) < 0.5
        mask[0] = False
        found.append(Sample(rng.integers(0, 70_000, length).astype(np.int32), mask, 3))
    return found


@pytest.fixture
def written(tmp_path, samples, monkeypatch):
    """The samples in several files of several batches."""
    monkeypatch.setattr(module, "_FILE_BYTES", 60_000)
    writer = RowWriter(tmp_path, "000")
    for sample in samples:
        writer.add(sample)
    writer.close()
    assert len(writer.files) > 1 and sum(each["rows"] for each in writer.files) == len(samples)
    return [tmp_path / each["name"] for each in writer.files]


def opened(paths):
    return Rows(paths, prefix_length=3, largest_id=69_999)


def test_rows_read_back_as_they_were_written(written, samples):
    rows = opened(written)
    assert len(rows) == len(samples)
    for mine, before in zip(rows, samples, strict=True):
        assert np.array_equal(mine.input_ids, before.input_ids) and mine.input_ids.dtype == np.int32
        assert np.array_equal(mine.loss_mask, before.loss_mask) and mine.prefix_length == 3
    assert np.array_equal(lengths(rows), [len(each.input_ids) for each in samples])
    assert np.array_equal(lengths(rows), lengths(samples))
    assert largest_id(rows) == 69_999 and largest_id(samples) < 70_000


def test_choices_and_slices_are_the_rows_they_name(written, samples):
    rows = opened(written).only(np.asarray([699, 0, 300, 301]))
    assert [len(each.input_ids) for each in rows] == [len(samples[i].input_ids) for i in (699, 0, 300, 301)]
    sliced = rows[1::2]
    assert isinstance(sliced, Rows) and len(sliced) == 2
    assert np.array_equal(sliced[1].input_ids, samples[301].input_ids)
    assert np.array_equal(rows[-1].input_ids, samples[301].input_ids)
    assert list(lengths(sliced)) == [len(samples[i].input_ids) for i in (0, 301)]
    with pytest.raises(IndexError):
        rows[4]


def test_reading_a_row_touches_one_batch(written, samples, monkeypatch):
    rows = opened(written)
    asked = []

    class Reader:
        def __init__(self, inner, number):
            self._inner, self._number = inner, number

        def get_batch(self, batch):
            asked.append((self._number, batch))
            return self._inner.get_batch(batch)

    rows._readers = [Reader(each, number) for number, each in enumerate(rows._readers)]
    sliced = rows[::7]
    assert len(rows) == 700 and len(sliced) == 100 and asked == []
    assert np.array_equal(rows[600].input_ids, samples[600].input_ids)
    assert len(asked) == 1


def test_the_kernel_is_told_not_to_read_ahead(written, monkeypatch):
    """2,000 samples of a million held 1 GiB before it was."""
    asked = []

    class Mapped(mmap.mmap):
        def madvise(self, option, *part):
            asked.append((option, *part))
            super().madvise(option, *part)

    monkeypatch.setattr(module.mmap, "mmap", Mapped)
    assert len(opened(written)) == 700
    assert asked == [(mmap.MADV_RANDOM,)] * len(written)


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"{}"])
def test_a_damaged_file_is_refused_when_it_is_opened(written, content):
    whole = written[1].read_bytes()
    written[1].write_bytes(content)
    with pytest.raises((OSError, ValueError)):
        opened(written)
    written[1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises((OSError, ValueError)):
        opened(written)
