"""Export and import: what went out and came in is counted, and nothing is dropped in silence."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import stored_run, trajectory

from agentray import manifest
from agentray.config import ExportConfig, ImportConfig
from agentray.data.store import read_run
from agentray.errors import DataError, UsageError
from agentray.formats import transfer
from agentray.types import Message, Reply

DATA = Path(os.environ.get("AGENTRAY_TEST_DATA") or Path(__file__).parents[3] / "../shared/data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real records at AGENTRAY_TEST_DATA={DATA}")
ASK, SAY = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def exported(tmp_path, name, *trajectories):
    run = stored_run(tmp_path / "run", trajectories)
    out = tmp_path / "out" / f"{name}.jsonl"
    return transfer.export(ExportConfig(run=run, format=name, out=out)), out


def imported(tmp_path, name, *records, **settings):
    path, out = tmp_path / "in.jsonl", tmp_path / "imported"
    path.write_text("\n".join(map(json.dumps, records)))
    config = ImportConfig(format=name, file=path, out=out, **settings)
    return transfer.import_(config), out


def test_an_export_counts_what_it_wrote_refused_and_lost(tmp_path):
    thinking = trajectory(1)
    thinking = replace(
        thinking, turns=(replace(thinking.turns[0], reply=Reply("x", reasoning="Hm.")), thinking.turns[1])
    )
    failed = trajectory(2, status="failed", reward=None, turns=(), error="gone")
    summary, out = exported(tmp_path, "sharegpt", trajectory(0), thinking, failed, trajectory(3))
    assert len(out.read_text().splitlines()) == summary.written == 2
    assert summary.refused == {"has_reasoning": 1, "failed": 1}
    assert summary.read == summary.written + sum(summary.refused.values()) == 4
    assert summary.examples["failed"] == f"{failed.key}: the attempt failed: gone"
    assert summary.lost == dict.fromkeys(
        [
            "task_data",
            "policy",
            "reward",
            "metrics",
            "timing",
            "actions",
            "turn_rewards",
            "token_ids",
            "logprobs",
        ],
        2,
    )
    assert os.listdir(out.parent) == [out.name]


def test_an_export_of_atif_loses_nothing(tmp_path):
    run = [trajectory(0), trajectory(0, sample=1), trajectory(1, status="failed", reward=None, error="gone")]
    summary, out = exported(tmp_path, "atif", *run)
    assert (summary.lost, summary.refused) == ({}, {})
    back = transfer.import_(ImportConfig(format="atif", file=out, out=tmp_path / "back"))
    assert back.kept == 3 and back.unknown_reward == 1
    assert read_run(tmp_path / "back").trajectories == run


@pytest.mark.parametrize(
    ("name", "said"),
    [("alpaca", "only read"), ("atfi", "did you mean 'atif'"), ("agentinstruct", "has_reasoning")],
)
def test_an_export_that_writes_nothing_leaves_nothing(tmp_path, name, said):
    turns = (replace(trajectory(0).turns[1], reply=Reply("x", reasoning="Hm.")),)
    with pytest.raises((DataError, UsageError), match=said):
        exported(tmp_path, name, trajectory(0, turns=turns))
    assert not (tmp_path / "out").exists() or not os.listdir(tmp_path / "out")


def test_an_export_overwrites_no_file_and_takes_only_finished_runs(tmp_path):
    _, out = exported(tmp_path, "openai", trajectory(0))
    config = ExportConfig(run=tmp_path / "run", format="openai", out=out)
    with pytest.raises(UsageError, match="exists"):
        transfer.export(config)
    (tmp_path / "run" / manifest.NAME).unlink()
    with pytest.raises(UsageError, match="not complete"):
        transfer.export(config.model_copy(update={"out": tmp_path / "other"}))


def test_an_import_is_a_directory_that_other_stages_read(tmp_path):
    records = [
        {
            "id": f"os_{i}",
            "conversations": [{"from": "human", "value": f"{i}?"}, {"from": "gpt", "value": "b"}],
        }
        for i in (1, 2)
    ]
    summary, out = imported(tmp_path, "agentinstruct", *records, {"text": "x"})
    assert (summary.read, summary.kept, summary.rejected) == (3, 2, {"no_messages": 1})
    assert (summary.kept_by_env, summary.unknown_reward) == ({"os": 2}, 2)
    [rejected] = map(json.loads, (out / "rejected.jsonl").read_text().splitlines())
    assert (rejected["place"], rejected["reason"]) == ("in.jsonl:3", "no_messages")
    first, second = read_run(out).trajectories
    assert [(each.task.env, each.task.id) for each in (first, second)] == [("os", "1"), ("os", "2")]
    assert {first.reward, second.reward} == {None}
    assert first.task.fingerprint != second.task.fingerprint
    assert manifest.read(out).stage == "import"


def test_the_settings_say_what_records_do_not(tmp_path):
    chat = {"messages": [ASK, SAY]}
    summary, out = imported(tmp_path, "openai", chat, environment="count", reward=1.0)
    [found] = read_run(out).trajectories
    assert (found.task.env, found.reward, found.turns[-1].reward) == ("count", 1.0, 1.0)
    assert summary.unknown_reward == 0


def test_records_of_one_task_are_its_samples(tmp_path):
    record = {"id": "os_1", "conversations": [ASK, SAY]}
    _, out = imported(tmp_path, "agentinstruct", record, record, record)
    assert [each.sample for each in read_run(out).trajectories] == [0, 1, 2]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"messages": [ASK, SAY], "tools": [TOOL]}, "has_tools"),
        ({"messages": [ASK, SAY | {"weight": 0, "reasoning": "Hm."}, ASK, SAY]}, "has_reasoning"),
        ({"messages": [ASK, SAY, ASK, SAY | {"weight": 0}, ASK, SAY]}, "reply_without_loss"),
        ({"messages": [ASK, SAY, SAY]}, "roles_do_not_alternate"),
        ({"messages": [ASK, SAY, {"role": "tool", "content": "t"}, SAY]}, "roles_do_not_alternate"),
    ],
)
def test_what_a_trajectory_has_no_place_for_is_rejected(tmp_path, record, reason):
    summary, _ = imported(tmp_path, "openai", record, {"messages": [ASK, SAY]})
    assert summary.rejected == {reason: 1}


def test_a_record_that_no_shard_can_hold_is_rejected_alone(tmp_path):
    _, out = exported(tmp_path, "atif", trajectory(0))
    good = json.loads(out.read_text())
    bad = json.loads(out.read_text())
    bad["extra"]["agentray"] |= {"reward": "much", "task_id": "train/1"}
    summary, found = imported(tmp_path, "atif", bad, good)
    assert summary.rejected == {"unstorable": 1} and read_run(found).trajectories == [trajectory(0)]


@pytest.mark.parametrize("text", ["", '{"text": "x"}', '{"messages": []}\nnot json\n{}\n{}'])
def test_an_import_without_a_trajectory_leaves_nothing(tmp_path, text):
    path, out = tmp_path / "in.jsonl", tmp_path / "imported"
    path.write_text(text)
    config = ImportConfig(format="openai", file=path, out=out)
    for _ in range(2):
        with pytest.raises(DataError):
            transfer.import_(config)
        assert not out.exists()


def test_progress_of_both_ends_with_all(tmp_path):
    run = stored_run(tmp_path / "run", [trajectory(i) for i in range(3)])
    out, seen = tmp_path / "a.jsonl", []

    def progress(done, total, **fields):
        seen.append((done, total))

    transfer.export(ExportConfig(run=run, format="openai", out=out), progress)
    assert seen[-1] == (3, 3)
    transfer.import_(ImportConfig(format="openai", file=out, out=tmp_path / "in"), progress)
    assert seen[-1] == (3, 3)


@needs_data
def test_real_agentinstruct_records_become_trajectories_of_their_environments(tmp_path):
    file = DATA / "agent_trajectories" / "agentinstruct_samples.jsonl"
    config = ImportConfig(format="agentinstruct", file=file, out=tmp_path / "in", reward=1.0)
    summary = transfer.import_(config)
    assert summary.kept == 18 and not summary.rejected
    assert summary.kept_by_env == dict.fromkeys(["alfworld", "db", "kg", "mind2web", "os", "webshop"], 3)
    found = read_run(tmp_path / "in").trajectories
    assert {(each.task.env, each.task.id) for each in found} >= {("os", "42"), ("alfworld", "155")}
    assert all(each.prompt[0] == Message("user", each.prompt[0].content) for each in found)
