"""The order of a chain: the same from memory and from files, whatever the order in the runs."""

import random

import pytest
from fakes import trajectory

from agentray.data import ranking
from agentray.data.ranking import COLUMNS, best_first
from agentray.data.reading import RunReader
from agentray.data.records import from_row
from agentray.data.store import write_shard


def order(runs, scratch):
    readers = [RunReader(run, COLUMNS) for run in runs]
    found = []
    for batch in best_first(readers, scratch):
        assert len(batch.runs) == batch.table.num_rows
        found += zip(batch.runs, map(from_row, batch.table.to_pylist()), strict=True)
    return found


@pytest.fixture
def runs(tmp_path):
    """Two runs of several shards, with equal keys, equal rewards and attempts without one."""
    rng, places = random.Random(3), []
    for name in ("first", "second"):
        made = [trajectory(index, reward=rng.choice([None, -1.0, 0.0, 0.5, 1.0])) for index in range(90)]
        rng.shuffle(made)
        (tmp_path / name).mkdir()
        for number in range(3):
            write_shard(tmp_path / name / f"shard-{number:06d}.parquet", made[number::3])
        places.append(tmp_path / name)
    return places


@pytest.mark.parametrize(("chunk_bytes", "most_files"), [(1, 256), (1, 2), (20_000, 256), (10**9, 256)])
def test_the_best_come_first_whatever_fits_into_memory(runs, tmp_path, monkeypatch, chunk_bytes, most_files):
    monkeypatch.setattr(ranking, "_MOST_FILES", most_files)
    monkeypatch.setattr(ranking, "_CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr("agentray.data.reading._BATCH_ROWS", 7)
    found = order(runs, tmp_path / "scratch")
    places = [(-(each.reward or 0.0), each.key, run) for run, each in found]
    assert places == sorted(places) and len(found) == 180
    for number, run in enumerate(runs):
        read = sorted((each for at, each in found if at == number), key=lambda each: each.key)
        assert read == sorted(RunReader(run), key=lambda each: each.key)
    assert not (tmp_path / "scratch").exists()


def test_few_rows_need_no_files(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(ranking, "_spread", None)
    assert len(order(runs, tmp_path / "scratch")) == 180


def test_no_rows_have_no_order(tmp_path):
    write_shard(tmp_path / "shard-000000.parquet", [])
    assert order([tmp_path], tmp_path / "scratch") == []
