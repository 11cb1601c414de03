"""Runs larger than memory: what counts is found by two columns, the rest is read a little at a time."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import trajectory

from agentray.data import reading, shards, store
from agentray.data.journal import entries
from agentray.data.reading import RunReader
from agentray.data.records import SCHEMA, table, to_row
from agentray.data.shards import ShardWriter
from agentray.data.store import RunStore, iterate_run, read_run, write_shard
from agentray.errors import DataError, UsageError


def written(directory, *shards_):
    for number, made in enumerate(shards_):
        write_shard(directory / f"shard-{number:06d}.parquet", made)
    return directory


def test_an_attempt_is_made_of_its_row_when_it_is_asked_for(tmp_path, monkeypatch):
    written(tmp_path, [trajectory(index) for index in range(600)])
    made, original = [], reading.from_row
    monkeypatch.setattr(reading, "from_row", lambda row: made.append(row["key"]) or original(row))
    found = iterate_run(tmp_path)
    assert [next(found).key, next(found).key] == made == [trajectory(0).key, trajectory(1).key]
    assert sum(1 for _ in found) == 598


def test_rows_are_read_in_small_batches_however_large_the_shard_is(tmp_path, monkeypatch):
    written(tmp_path, [trajectory(index) for index in range(600)])
    assert [rows.table.num_rows for rows in RunReader(tmp_path).tables()] == [256, 256, 88]
    monkeypatch.setattr(reading, "_BATCH_BYTES", 1)
    few = list(RunReader(tmp_path).tables())
    assert [rows.start for rows in few] == list(range(600))


def test_the_first_record_of_an_attempt_counts_unless_it_failed(tmp_path):
    failed = trajectory(0, status="failed", reward=None, turns=())
    again, third = trajectory(0, seed=5), trajectory(0, seed=6)
    twice = trajectory(1, status="failed", reward=None, turns=(), error="later")
    written(
        tmp_path,
        [failed, replace(twice, error="first")],
        [again, trajectory(2)],
        [third, twice, trajectory(2)],
    )
    reader = RunReader(tmp_path, ["seed"])
    assert list(reader) == [again, trajectory(2), twice] and len(reader) == 3
    assert reader.outcomes["seed"].to_pylist() == [5, 2, 1]
    assert [each.start for each in reader.tables()] == [0, 2]


def test_what_is_still_in_the_journal_is_read_too(tmp_path):
    with RunStore(tmp_path, segment_rows=2) as open_run:
        for index in range(5):
            open_run.commit(entries(trajectory(index)))
        assert sorted(each.key for each in iterate_run(tmp_path)) == [trajectory(i).key for i in range(5)]


def test_records_of_an_earlier_schema_are_brought_to_this_one(tmp_path):
    rows = [to_row(trajectory(index)) | {"schema_version": 2} for index in range(3)]
    for row in rows:
        for turn in row["turns"]:
            del turn["reasoning"], turn["model"], turn["address"], turn["version"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shard-000000.parquet")
    found = pa.concat_tables([each.table for each in RunReader(tmp_path, ["temperature"]).tables()])
    assert found.equals(table([to_row(trajectory(index)) for index in range(3)]))


def test_a_shard_that_turns_out_to_be_damaged_is_named_and_the_others_are_read(tmp_path):
    written(tmp_path, [trajectory(0)], [trajectory(1)], [trajectory(2)])
    row = to_row(trajectory(1)) | {"task_data": "{not JSON"}
    pq.write_table(table([row]), tmp_path / "shard-000001.parquet")
    contents = read_run(tmp_path)
    assert contents.trajectories == [trajectory(0), trajectory(2)]
    assert trajectory(1).key in contents.set_aside[0] and "not a trajectory" in contents.set_aside[0]
    with pytest.raises(DataError, match="not all of"):
        list(iterate_run(tmp_path))
    (tmp_path / "shard-000001.parquet").write_bytes(b"PAR1 half a shard")
    with pytest.raises(DataError, match=r"shard-000001\.parquet"):
        list(iterate_run(tmp_path))
    (tmp_path / "shard-000001.parquet").rename(tmp_path / "shard-000001.parquet.corrupt")
    assert len(list(iterate_run(tmp_path))) == 2


def test_an_empty_directory_is_no_run_unless_it_may_be(tmp_path):
    with pytest.raises(UsageError, match="holds no trajectories"):
        RunReader(tmp_path)
    assert list(RunReader(tmp_path, may_be_empty=True)) == []


@pytest.mark.parametrize(("limit", "value"), [("SHARD_ROWS", 3), ("SHARD_BYTES", 1)])
def test_shards_end_at_a_number_of_rows_or_bytes(tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(shards, limit, value)
    with ShardWriter(tmp_path) as writer:
        for index in range(8):
            writer.add(table([to_row(trajectory(index))]))
    sizes = [pq.read_metadata(each).num_rows for each in shards.shards(tmp_path)]
    assert sizes == ([3, 3, 2] if limit == "SHARD_ROWS" else [1] * 8)
    assert list(iterate_run(tmp_path)) == [trajectory(index) for index in range(8)]


def test_a_writer_that_fails_leaves_no_half_shard(tmp_path):
    with pytest.raises(RuntimeError), ShardWriter(tmp_path) as writer:
        writer.add(SCHEMA.empty_table())
        raise RuntimeError("a step failed")
    assert not list(tmp_path.iterdir())


def test_a_run_of_long_attempts_has_small_shards_too(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SHARD_BYTES", 1)
    with RunStore(tmp_path, segment_rows=100) as open_run:
        for index in range(3):
            open_run.commit(entries(trajectory(index)))
    assert [pq.read_metadata(each).num_rows for each in shards.shards(tmp_path)] == [1, 1, 1]
