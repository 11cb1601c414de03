import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fakes import stored_run, trajectory

from agentray import manifest
from agentray.config import FilterConfig
from agentray.data import stored
from agentray.data.journal import entries
from agentray.data.store import RunStore, read_run
from agentray.errors import DataError, UsageError
from agentray.transforms.filtering import run
from agentray.types import Reply, Turn


def filtered(tmp_path, made, **settings):
    """The summary of filtering these attempts, and the keys of those that were kept, in their order."""
    stored_run(tmp_path / "made", made)
    summary = run(FilterConfig(runs=[tmp_path / "made"], out=tmp_path / "kept", **settings))
    return summary, [each.key for each in read_run(tmp_path / "kept").trajectories]


def test_a_trajectory_counts_under_the_first_reason(tmp_path):
    made = [
        trajectory(0),
        trajectory(0, sample=1),
        trajectory(1, turns=(Turn(Reply(" "), None, ""),)),
        trajectory(2, status="truncated"),
        trajectory(3, turns=()),
        trajectory(4, status="failed", reward=None),
    ]
    summary, kept = filtered(tmp_path, made)
    assert kept == [trajectory(0).key]
    assert summary.rejected == {
        "duplicate": 1,
        "empty_reply": 1,
        "truncated": 1,
        "no_turns": 1,
        "failed": 1,
    }
    assert summary.read == summary.kept + sum(summary.rejected.values()) == 6


def test_a_task_quota_keeps_the_best(tmp_path):
    made = [trajectory(0, sample=sample, reward=reward) for sample, reward in enumerate((0.2, 0.9, 0.5))]
    summary, kept = filtered(tmp_path, made, max_per_task=1, min_reward=0.0, drop_duplicates=False)
    assert kept == [trajectory(0, sample=1).key]
    assert summary.rejected == {"task_quota": 2}


def test_what_is_kept_is_in_an_order_that_the_workers_speed_does_not_change(tmp_path):
    made = [trajectory(index, reward=1.0 + index % 2) for index in range(8)]
    _, kept = filtered(tmp_path, made)
    _, again = filtered(tmp_path / "again", list(reversed(made)))
    best = sorted(trajectory(index).key for index in (1, 3, 5, 7))
    assert kept == again == best + sorted(trajectory(index).key for index in (0, 2, 4, 6))


@pytest.mark.parametrize(
    ("given", "kept"), [({}, 1), ({"count": {"bar": 0.9}}, 1), ({"count": {"bar": 0.1}}, 2)]
)
def test_the_settings_are_those_of_the_run_unless_others_are_given(tmp_path, monkeypatch, given, kept):
    threshold = lambda spec: SimpleNamespace(reward_threshold=spec.kwargs["bar"])  # noqa: E731
    monkeypatch.setattr(stored, "build", threshold)
    made = [trajectory(0, reward=0.5), trajectory(1)]
    stored_run(tmp_path / "run", made, env={"count": {"bar": 0.7}})
    summary = run(FilterConfig(runs=[tmp_path / "run"], out=tmp_path / "out", env=given))
    assert summary.kept == kept
    again = run(FilterConfig(runs=[tmp_path / "out"], out=tmp_path / "again"))
    assert again.kept == kept


def test_the_threshold_that_the_run_recorded_needs_no_environment(tmp_path):
    task = replace(trajectory().task, env="not_installed")
    stored_run(tmp_path / "run", [trajectory(task=task, reward=0.5)])
    known = {"environments": {"not_installed": {"settings": {}, "reward_threshold": 0.5, "version": "1"}}}
    manifest.write(tmp_path / "run", manifest.Manifest("rollout", {"env": {}}, known))
    config = FilterConfig(runs=[tmp_path / "run"], out=tmp_path / "out")
    assert run(config).kept == 1
    assert manifest.read(tmp_path / "out").counts["environments"] == known["environments"]
    with pytest.raises(UsageError, match="not_installed"):
        run(config.model_copy(update={"env": {"not_installed": {"harder": True}}}))


def test_attempts_of_one_key_from_several_runs_are_kept_once(tmp_path):
    for name, said in (("first", "Action: 1"), ("second", "Action: one")):
        turns = (Turn(Reply(said), "1", "", 1.0),)
        stored_run(tmp_path / name, [trajectory(0, turns=turns)])
    runs = [tmp_path / "second", tmp_path / "first"]
    summary = run(FilterConfig(runs=runs, out=tmp_path / "out"))
    assert (summary.read, summary.kept, summary.rejected) == (2, 1, {"same_key": 1})
    assert read_run(tmp_path / "out").trajectories[0].turns[0].reply.text == "Action: one"


def test_an_earlier_output_stays_until_the_new_one_is_there(tmp_path):
    stored_run(tmp_path / "run", [trajectory(0)])
    good = FilterConfig(runs=[tmp_path / "run"], out=tmp_path / "out")
    run(good)
    with pytest.raises(DataError, match="keeps none"):
        run(good.model_copy(update={"min_reward": 2.0}))
    assert len(read_run(tmp_path / "out").trajectories) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "run"]


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
