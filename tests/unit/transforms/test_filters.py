import json

import pytest
from fakes import stored_run, trajectory

from agentray import manifest
from agentray.config import FilterConfig
from agentray.data.journal import entries
from agentray.data.store import RunStore, read_run
from agentray.errors import DataError, UsageError
from agentray.transforms import filters
from agentray.transforms.filtering import run
from agentray.types import Reply, Turn


def test_min_reward_tells_unscored_from_low():
    assert filters.min_reward(trajectory(reward=None), threshold=1) == "unscored"
    assert filters.min_reward(trajectory(reward=0.6), threshold=2 / 3) == "low_reward"
    assert filters.min_reward(trajectory(reward=0.67), threshold=2 / 3) is None


def test_a_trajectory_counts_under_the_first_reason():
    empty = trajectory(1, turns=(Turn(Reply(" "), None, ""),))
    made = [
        trajectory(0),
        trajectory(0, sample=1),
        empty,
        trajectory(2, status="truncated"),
        trajectory(3, turns=()),
        trajectory(4, status="failed", reward=None),
    ]
    chain = [filters.finished, filters.has_replies, filters.DropDuplicates()]
    outcome = filters.apply(made, {"count": chain})
    assert [each.key for each in outcome.kept] == [trajectory(0).key]
    assert outcome.rejected == {"duplicate": 1, "empty_reply": 1, "truncated": 1, "no_turns": 1, "failed": 1}
    assert outcome.read == len(outcome.kept) + sum(outcome.rejected.values())


def test_a_task_quota_keeps_the_best():
    made = [trajectory(0, sample=0, reward=0.2), trajectory(0, sample=1, reward=0.9)]
    outcome = filters.apply(made, {"count": [filters.MaxPerTask(1)]})
    assert [each.reward for each in outcome.kept] == [0.9]
    assert outcome.rejected == {"task_quota": 1}


def test_the_stage_writes_what_it_kept_and_why_it_dropped_the_rest(tmp_path):
    with RunStore(tmp_path / "run") as store:
        for index in range(6):
            store.commit(entries(trajectory(index, reward=index % 2)))
    summary = run(FilterConfig(runs=[tmp_path / "run"], out=tmp_path / "out"))
    assert (summary.read, summary.kept, dict(summary.rejected)) == (6, 3, {"low_reward": 3})
    assert len(read_run(tmp_path / "out").trajectories) == 3
    lines = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    assert {json.loads(line)["reason"] for line in lines} == {"low_reward"}
    assert manifest.read(tmp_path / "out").counts["read"] == 6
    assert run(FilterConfig(runs=[tmp_path / "run"], out=tmp_path / "out")) == summary


@pytest.mark.parametrize("out", ["run", "run/kept", "."])
def test_the_run_that_is_read_is_never_written_over(tmp_path, out):
    stored_run(tmp_path / "run", [trajectory(0), trajectory(1, reward=0.0)])
    before = sorted(each.name for each in (tmp_path / "run").iterdir())
    with pytest.raises(UsageError, match="cannot write to"):
        run(FilterConfig(runs=[tmp_path / "run"], out=tmp_path / out))
    assert sorted(each.name for each in (tmp_path / "run").iterdir()) == before


def test_the_counts_add_up_when_runs_share_keys(tmp_path):
    for name in ("first", "second"):
        stored_run(tmp_path / name, [trajectory(0, reward=0.0), trajectory(1)])
    summary = run(FilterConfig(runs=[tmp_path / "first", tmp_path / "second"], out=tmp_path / "out"))
    assert (summary.read, summary.kept, dict(summary.rejected)) == (4, 1, {"low_reward": 2, "duplicate": 1})
    lines = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["reason"] for line in lines) == ["duplicate", "low_reward", "low_reward"]


def test_a_shard_that_cannot_be_read_is_named(tmp_path):
    stored_run(tmp_path / "run", [trajectory(0)])
    (tmp_path / "run" / "shard-000001.parquet").write_bytes(b"PAR1 half a shard")
    summary = run(FilterConfig(runs=[tmp_path / "run"], out=tmp_path / "out"))
    assert summary.kept == 1 and "shard-000001.parquet" in summary.set_aside[0]
    assert manifest.read(tmp_path / "out").counts["set_aside"] == summary.set_aside
    (tmp_path / "run" / "shard-000000.parquet").unlink()
    with pytest.raises(DataError, match=r"keeps none of 0(.|\n)*not read: .*shard-000001.parquet"):
        run(FilterConfig(runs=[tmp_path / "run"], out=tmp_path / "out"))


def test_keeping_nothing_is_an_error_with_the_reasons(tmp_path):
    with RunStore(tmp_path / "run") as store:
        store.commit(entries(trajectory(0, reward=0.0)))
    with pytest.raises(DataError, match="low_reward"):
        run(FilterConfig(runs=[tmp_path / "run"], out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
