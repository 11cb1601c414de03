import pytest
from fakes import trajectory

from agentray.data.store import RunStore, read_run
from agentray.errors import ResourceError, UsageError


def keys(directory):
    return [each.key for each in read_run(directory).trajectories]


def killed(store):
    """What the death of the process does: files are closed, nothing is finished."""
    store._lock.close()
    if store._segment:
        store._segment.close()


def test_every_attempt_is_stored_once_over_several_shards(tmp_path):
    with RunStore(tmp_path, segment_rows=3) as store:
        assert all(store.append(trajectory(index)) for index in range(8))
        assert not store.append(trajectory(5))
    assert sorted(keys(tmp_path)) == sorted(trajectory(index).key for index in range(8))
    assert len(list(tmp_path.glob("shard-*.parquet"))) == 3
    assert not list(tmp_path.glob("journal-*"))


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path):
    store = RunStore(tmp_path, segment_rows=3)
    for index in range(5):
        store.append(trajectory(index))
    killed(store)
    assert len(keys(tmp_path)) == 5
    with RunStore(tmp_path, segment_rows=3) as again:
        assert len(again.finished) == 5
        assert not again.append(trajectory(4))
        assert again.append(trajectory(5))
    assert len(keys(tmp_path)) == 6


def test_a_line_cut_short_is_not_an_attempt(tmp_path):
    store = RunStore(tmp_path)
    store.append(trajectory(0))
    store.append(trajectory(1))
    killed(store)
    journal = next(tmp_path.glob("journal-*"))
    journal.write_bytes(journal.read_bytes()[:-20])
    with RunStore(tmp_path) as again:
        assert list(again.finished) == [trajectory(0).key]


def test_a_death_between_shard_and_journal_counts_nothing_twice(tmp_path):
    store = RunStore(tmp_path, segment_rows=2)
    store.append(trajectory(0))
    journal = next(tmp_path.glob("journal-*"))
    copy = journal.read_bytes()
    store.append(trajectory(1))
    killed(store)
    journal.write_bytes(copy)  # the shard was renamed into place, the journal not yet removed
    with RunStore(tmp_path) as again:
        assert len(again.finished) == 2
    assert len(keys(tmp_path)) == 2


def test_a_corrupt_shard_is_set_aside_and_its_attempts_are_made_again(tmp_path):
    with RunStore(tmp_path, segment_rows=2) as store:
        for index in range(4):
            store.append(trajectory(index))
    (tmp_path / "shard-000000.parquet").write_bytes(b"PAR1 half a shard")
    assert len(read_run(tmp_path).trajectories) == 2
    assert "shard-000000.parquet" in read_run(tmp_path).set_aside[0]
    with RunStore(tmp_path, segment_rows=2) as again:
        assert len(again.finished) == 2
        assert "shard-000000.parquet" in again.set_aside[0]
        for index in range(4):
            again.append(trajectory(index))
    assert sorted(keys(tmp_path)) == sorted(trajectory(index).key for index in range(4))
    assert (tmp_path / "shard-000000.parquet.corrupt").exists()


def test_a_second_writer_is_refused_with_the_first_ones_process(tmp_path):
    with RunStore(tmp_path), pytest.raises(ResourceError, match="process"):
        RunStore(tmp_path)
    RunStore(tmp_path).close()


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError):
        read_run(tmp_path / "absent")
    with pytest.raises(UsageError, match="holds no trajectories"):
        read_run(tmp_path)
