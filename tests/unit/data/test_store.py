import errno
import fcntl
import json
import os
import time
from dataclasses import replace
from itertools import count

import pyarrow.parquet as pq
import pytest
from fakes import trajectory

import agentray.data.reading
from agentray.data.journal import begun, ended, entries, turned
from agentray.data.runs import PLAN, show
from agentray.data.store import RunStore, read_run, write_shard
from agentray.errors import DataError, ResourceError, UsageError
from agentray.types import Usage


def keys(directory):
    return [each.key for each in read_run(directory).trajectories]


def store_some(store, *numbers):
    for number in numbers:
        store.commit(entries(trajectory(number)))


def killed(store):
    """What the death of the process does: files are closed, nothing is finished."""
    store._sealed()
    store._lock.close()
    if store._segment:
        store._segment.close()


def test_every_attempt_is_stored_once_over_several_shards(tmp_path):
    with RunStore(tmp_path, segment_rows=3) as store:
        store_some(store, *range(8), 5)
    assert sorted(keys(tmp_path)) == sorted(trajectory(index).key for index in range(8))
    assert len(list(tmp_path.glob("shard-*.parquet"))) == 3
    assert not list(tmp_path.glob("journal-*"))


def test_what_is_read_is_what_was_written(tmp_path):
    written = [trajectory(index, temperature=0.5) for index in range(5)]
    with RunStore(tmp_path, segment_rows=2) as store:
        for each in written:
            store.commit(entries(each))
        assert sorted(read_run(tmp_path).trajectories, key=lambda each: each.seed) == written
    assert sorted(read_run(tmp_path).trajectories, key=lambda each: each.seed) == written


def test_a_reader_misses_nothing_of_a_segment_that_becomes_a_shard_while_it_looks(tmp_path, monkeypatch):
    store = RunStore(tmp_path, segment_rows=100)
    store_some(store, *range(3))
    looks_for_shards = agentray.data.reading.shards

    def seal_once_they_were_listed(directory):
        listed = looks_for_shards(directory)
        monkeypatch.undo()
        store.close()
        return listed

    monkeypatch.setattr(agentray.data.reading, "shards", seal_once_they_were_listed)
    assert len(keys(tmp_path)) == 3


def test_a_reader_ends_however_many_segments_become_shards_while_it_reads(tmp_path, monkeypatch):
    with RunStore(tmp_path, segment_rows=2) as store:
        store_some(store, *range(5))
        reads, numbers = pq.read_table, count(5)

        def written_meanwhile(*args, **options):
            store_some(store, next(numbers), next(numbers))
            store._sealed()
            return reads(*args, **options)

        monkeypatch.setattr(pq, "read_table", written_meanwhile)
        assert set(keys(tmp_path)) >= {trajectory(index).key for index in range(5)}
        (tmp_path / PLAN).write_text(json.dumps({"planned": 100, "envs": ["count"], "env": {}}))
        assert show(tmp_path, {"count": 1.0}).completed >= 5


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path):
    store = RunStore(tmp_path, segment_rows=3)
    store_some(store, *range(5))
    killed(store)
    assert len(keys(tmp_path)) == 5
    with RunStore(tmp_path, segment_rows=3) as again:
        assert len(again.finished) == 5
        store_some(again, 4, 5)
    assert sorted(keys(tmp_path)) == sorted(trajectory(index).key for index in range(6))


def test_attempts_that_still_run_are_carried_over_and_resumed(tmp_path):
    running, made = trajectory(99), entries(trajectory(99))
    store = RunStore(tmp_path, segment_rows=2)
    store.commit(made[:2])
    store_some(store, *range(5))
    assert list(store.open) == [running.key]
    killed(store)
    with RunStore(tmp_path, segment_rows=2) as again:
        assert again.open == {running.key: [each.line for each in made[:2]]}
        assert running.key not in keys(tmp_path)
        again.commit(made[2:])
        assert not again.open
    assert next(each for each in read_run(tmp_path).trajectories if each.key == running.key) == running
    assert len(keys(tmp_path)) == 6


def test_an_attempt_that_begins_anew_keeps_only_its_last_turns(tmp_path):
    made, key = trajectory(0), trajectory(0).key
    with RunStore(tmp_path) as store:
        store.commit([begun(made, 1, made.prompt), turned(key, 1, 0, made.turns[1])])
        store.forget(key)
        store.commit(entries(made, lease=2))
    assert read_run(tmp_path).trajectories == [made]


def test_a_failed_attempt_may_be_made_again_and_the_later_record_counts(tmp_path):
    failed = trajectory(0, status="failed", reward=None, error="the endpoint was down", turns=())
    with RunStore(tmp_path) as store:
        store.commit(entries(failed))
        store.commit(entries(trajectory(1)))
    with RunStore(tmp_path) as store:
        assert failed.key in store.finished
    with RunStore(tmp_path, retry_failed=True) as store:
        assert list(store.finished) == [trajectory(1).key]
        store_some(store, 0)
    assert {each.key: each.status for each in read_run(tmp_path).trajectories} == {
        trajectory(0).key: "completed",
        trajectory(1).key: "completed",
    }
    with RunStore(tmp_path) as store:
        assert store.finished[failed.key] == "completed"
        assert store.earlier["count", 0, 0] == ("completed", 1.0, None)


def test_a_line_cut_short_is_not_an_attempt(tmp_path):
    store = RunStore(tmp_path)
    store_some(store, 0, 1)
    killed(store)
    journal = next(tmp_path.glob("journal-*"))
    journal.write_bytes(journal.read_bytes()[:-20])
    with RunStore(tmp_path) as again:
        assert list(again.finished) == [trajectory(0).key]
        assert list(again.open) == [trajectory(1).key]
        again.commit([ended(trajectory(1).key, 2, trajectory(1), 2)])
    assert len(keys(tmp_path)) == 2


def test_a_damaged_line_costs_its_attempt_alone_and_is_counted(tmp_path):
    store = RunStore(tmp_path)
    store_some(store, 0, 1)
    killed(store)
    journal = next(tmp_path.glob("journal-*"))
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], b"\xff{\n", *lines[2:]]))
    with RunStore(tmp_path) as again:
        assert list(again.finished) == [trajectory(1).key]
        assert "unreadable lines" in again.set_aside[0]


@pytest.mark.parametrize("failure", ["write", "fdatasync"])
def test_a_full_disk_stores_all_of_a_commit_or_nothing(tmp_path, monkeypatch, failure):
    real = getattr(os, failure)

    def full(file, *rest):
        if rest and len(rest[0]) > 10:
            real(file, rest[0][:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with RunStore(tmp_path) as store:
        store_some(store, 0)
        monkeypatch.setattr(os, failure, full)
        with pytest.raises(OSError, match="No space"):
            store_some(store, 1)
        assert trajectory(1).key not in store.finished
        monkeypatch.undo()
        store_some(store, 1, 2)
    assert len(keys(tmp_path)) == 3


def test_a_shard_that_cannot_be_written_leaves_its_segment_readable(tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    with RunStore(tmp_path, segment_rows=2) as store:
        monkeypatch.setattr(pq, "write_table", full)
        store_some(store, *range(5))
    assert len(keys(tmp_path)) == 5
    monkeypatch.undo()
    RunStore(tmp_path).close()
    assert len(keys(tmp_path)) == 5 and not list(tmp_path.glob("journal-*"))


def test_a_death_between_shard_and_journal_counts_nothing_twice(tmp_path):
    store = RunStore(tmp_path, segment_rows=2)
    store_some(store, 0)
    journal = next(tmp_path.glob("journal-*"))
    store.commit(entries(trajectory(1))[:-1])
    copy = journal.read_bytes() + entries(trajectory(1))[-1].line + b"\n"
    store.commit(entries(trajectory(1))[-1:])
    killed(store)
    journal.write_bytes(copy)  # the shard was renamed into place, the journal not yet removed
    assert len(keys(tmp_path)) == 2
    with RunStore(tmp_path) as again:
        assert len(again.finished) == 2
    assert len(keys(tmp_path)) == 2


def test_a_corrupt_shard_is_set_aside_and_its_attempts_are_made_again(tmp_path):
    with RunStore(tmp_path, segment_rows=2) as store:
        store_some(store, *range(4))
    (tmp_path / "shard-000000.parquet").write_bytes(b"PAR1 half a shard")
    assert len(read_run(tmp_path).trajectories) == 2
    assert "shard-000000.parquet" in read_run(tmp_path).set_aside[0]
    with RunStore(tmp_path, segment_rows=2) as again:
        assert len(again.finished) == 2
        assert "shard-000000.parquet" in again.set_aside[0]
        store_some(again, *range(4))
    assert sorted(keys(tmp_path)) == sorted(trajectory(index).key for index in range(4))
    assert (tmp_path / "shard-000000.parquet.corrupt").exists()


def test_records_of_the_first_schema_are_still_read(tmp_path):
    made = trajectory(0)
    old = pq.ParquetFile
    with RunStore(tmp_path) as store:
        store.commit(entries(made))
    path = next(tmp_path.glob("shard-*"))
    rows = old(path).read().to_pylist()
    for row in rows:
        row["schema_version"] = 1
        del row["temperature"]
        for turn in row["turns"]:
            del turn["state"], turn["prefix_kept"]
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows), path)
    assert read_run(tmp_path).trajectories == [replace(made, temperature=None)]


def test_a_second_writer_is_refused_with_the_first_ones_process_and_host(tmp_path):
    with RunStore(tmp_path), pytest.raises(ResourceError) as caught:
        RunStore(tmp_path)
    assert f"process {os.getpid()} on {os.uname().nodename}" in caught.value.why
    RunStore(tmp_path).close()


def test_a_directory_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError):
        read_run(tmp_path / "absent")
    with pytest.raises(UsageError, match="holds no trajectories"):
        read_run(tmp_path)


def unstorable(index):
    """An attempt with values that the journal takes and Arrow does not."""
    made = trajectory(index)
    turn = made.turns[0]
    turns = [
        replace(turn, observation="half \ud83d"),
        replace(turn, action=3),
        replace(turn, reply=replace(turn.reply, usage=Usage(5_000_000_000, 1))),
    ]
    return replace(made, turns=(turns[index % 3],))


@pytest.mark.parametrize("dies", [False, True])
def test_an_attempt_that_cannot_be_stored_fails_alone(tmp_path, dies):
    made = [trajectory(0), unstorable(1), unstorable(2), unstorable(3), trajectory(4)]
    store = RunStore(tmp_path)
    for each in made:
        store.commit(entries(each))
    if dies:
        killed(store)
        store = RunStore(tmp_path)
    store.close()
    assert [problem.split(" cannot be stored")[0] for problem in store.set_aside] == [
        f"attempt {each.key!r}" for each in made[1:4]
    ]
    stored = {each.key: each for each in read_run(tmp_path).trajectories}
    assert {key: each.status for key, each in stored.items()} == {
        each.key: "failed" if each in made[1:4] else "completed" for each in made
    }
    assert "cannot be stored" in (stored[made[1].key].error or "")
    with RunStore(tmp_path) as again:
        assert again.finished == {key: each.status for key, each in stored.items()} and not again.set_aside
    with RunStore(tmp_path, retry_failed=True) as again:
        assert set(again.finished) == {made[0].key, made[4].key}


def test_an_attempt_whose_task_cannot_be_stored_is_dropped_and_made_again(tmp_path):
    named = replace(trajectory(1), policy="half \ud83d")
    with RunStore(tmp_path) as store:
        store.commit([*entries(trajectory(0)), *entries(named)])
    assert "cannot be stored" in store.set_aside[0]
    assert keys(tmp_path) == [trajectory(0).key]
    with RunStore(tmp_path) as again:
        assert list(again.finished) == [trajectory(0).key]
    with pytest.raises(DataError, match="cannot be stored"):
        write_shard(tmp_path / "shard-000009.parquet", [named])
    assert not (tmp_path / "shard-000009.parquet").exists()


def test_looking_for_the_owner_does_not_keep_a_writer_out(tmp_path, monkeypatch):
    RunStore(tmp_path).close()
    with (tmp_path / ".lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(time, "sleep", lambda pause_s: fcntl.flock(looking, fcntl.LOCK_UN))
        with RunStore(tmp_path) as store:
            store_some(store, 0)
    assert keys(tmp_path) == [trajectory(0).key]


def test_a_disk_without_locks_is_said_to_have_none(tmp_path, monkeypatch):
    def unsupported(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(ResourceError, match="No locks available"):
        RunStore(tmp_path)
