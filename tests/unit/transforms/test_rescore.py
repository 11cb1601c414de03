"""The rescore stage over whole runs: counts that add up, nothing lost, nothing written on refusal."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import stored_run, trajectory

from agentray import manifest
from agentray.config import RescoreConfig, RolloutConfig
from agentray.data.records import SCHEMA_VERSION, to_row
from agentray.data.store import read_run
from agentray.errors import DataError, UsageError
from agentray.evaluate.compare import compare
from agentray.evaluate.outcomes import read_outcomes
from agentray.rollout.run import run as rollout
from agentray.transforms.rescore import run

NUM_TASKS = 30


@pytest.fixture
def played(tmp_path):
    """Attempts of the expert at games of 1 to 7 turns."""
    rollout(
        RolloutConfig(
            envs=["count"], policy="expert", num_tasks=NUM_TASKS, num_workers=0, out=tmp_path / "run"
        )
    )
    return tmp_path / "run"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_equal_rules_change_nothing(played, tmp_path):
    found = run(RescoreConfig(run=played, out=tmp_path / "out"))
    assert (found.read, found.unchanged, found.changed, found.refused) == (NUM_TASKS, NUM_TASKS, 0, {})
    assert (tmp_path / "out" / "changed.jsonl").read_text() == ""
    before = {each.key: each for each in read_run(played).trajectories}
    for each in read_run(tmp_path / "out").trajectories:
        assert each.turns == before[each.key].turns
        assert each.metrics == {"reward_before": before[each.key].reward}


def test_a_lower_turn_limit_is_applied_and_the_new_run_pairs_with_the_old(played, tmp_path):
    config = RescoreConfig(run=played, out=tmp_path / "out", env={"count": {"max_turns": 3}})
    found = run(config)
    long = sum(len(each.turns) > 3 for each in read_run(played).trajectories)
    assert 0 < long == found.changed and found.unchanged == NUM_TASKS - long
    assert found.mean_reward["count"].before == 1.0
    assert found.mean_reward["count"].after == pytest.approx(1 - long / NUM_TASKS)
    changed = lines(tmp_path / "out" / "changed.jsonl")
    assert len(changed) == long and changed[0] == changed[0] | {"before": 1.0, "after": 0.0}
    row = compare(read_outcomes(played), read_outcomes(tmp_path / "out"))["count"]
    assert (row.before, row.n) == (1.0, NUM_TASKS)
    written = manifest.read(tmp_path / "out")
    assert written.stage == "rescore" and written.config["env"] == {"count": {"max_turns": 3}}
    assert written.inputs == {str(played): manifest.digest(played)}


def test_the_counts_add_up_when_some_are_refused(played, tmp_path):
    limited = run(RescoreConfig(run=played, out=tmp_path / "limited", env={"count": {"max_turns": 3}}))
    found = run(
        RescoreConfig(run=tmp_path / "limited", out=tmp_path / "out", env={"count": {"max_turns": 8}})
    )
    # What the low limit cut off would go on now; nobody knows how.
    assert found.refused == {"goes_on": limited.changed}
    assert found.read == found.unchanged + found.changed + sum(found.refused.values())
    assert len(read_run(tmp_path / "out").trajectories) == found.read - limited.changed
    assert {each["reason"] for each in lines(tmp_path / "out" / "refused.jsonl")} == {"goes_on"}
    assert len(lines(tmp_path / "out" / "refused.jsonl")) == limited.changed


def test_attempts_that_an_infrastructure_failure_ended_are_carried_over(played, tmp_path):
    lost = [trajectory(index, reward=None, status="failed", error="lost") for index in (90, 91)]
    made = stored_run(tmp_path / "both", [*read_run(played).trajectories, *lost])
    found = run(RescoreConfig(run=made, out=tmp_path / "out"))
    assert (found.read, found.unchanged, found.lost) == (NUM_TASKS + 2, NUM_TASKS + 2, 2)
    after = {each.key: each for each in read_run(tmp_path / "out").trajectories}
    assert all(after[each.key] == each for each in lost)


def test_a_run_of_which_all_is_refused_writes_nothing(tmp_path):
    made = stored_run(tmp_path / "run", [trajectory(0), trajectory(1)])  # their prompts are made up
    with pytest.raises(DataError) as caught:
        run(RescoreConfig(run=made, out=tmp_path / "out"))
    assert "'other_start': 2" in caught.value.why and "the first observation differs" in caught.value.why
    assert not (tmp_path / "out").exists()


def test_the_run_itself_is_never_overwritten(played, tmp_path):
    for out in (played, tmp_path, played / ".." / "run"):
        with pytest.raises(UsageError, match="cannot write to"):
            run(RescoreConfig(run=played, out=out))
    assert len(read_run(played).trajectories) == NUM_TASKS


def test_settings_of_an_environment_that_is_not_there_are_refused(played, tmp_path):
    with pytest.raises(UsageError) as caught:
        run(RescoreConfig(run=played, out=tmp_path / "out", env={"cuont": {"max_turns": 3}}))
    assert "did you mean 'count'" in caught.value.why
    with pytest.raises(UsageError, match="unknown setting"):
        run(RescoreConfig(run=played, out=tmp_path / "out", env={"count": {"max_turn": 3}}))
    assert not (tmp_path / "out").exists()


def of_schema(directory, trajectories, version):
    """A run as an agentray of another schema wrote it."""
    rows = [to_row(each) | {"schema_version": version} for each in trajectories]
    for row in rows if version == 1 else ():
        del row["temperature"]
        for turn in row["turns"]:
            del turn["state"], turn["prefix_kept"]
    directory.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), directory / "shard-000000.parquet")
    manifest.write(directory, manifest.Manifest("rollout", {}, {}))
    return directory


def test_records_of_the_first_schema_are_migrated(played, tmp_path):
    old = of_schema(tmp_path / "old", read_run(played).trajectories, 1)
    assert run(RescoreConfig(run=old, out=tmp_path / "out")).unchanged == NUM_TASKS
    written = pq.read_table(tmp_path / "out" / "shard-000000.parquet")
    assert set(written["schema_version"].to_pylist()) == {SCHEMA_VERSION}
    assert all(each.turns[0].state for each in read_run(tmp_path / "out").trajectories)


def test_records_of_a_newer_schema_are_refused_with_their_version(played, tmp_path):
    new = of_schema(tmp_path / "new", read_run(played).trajectories, 9)
    with pytest.raises(DataError) as caught:
        run(RescoreConfig(run=new, out=tmp_path / "out"))
    assert "schema version 9" in caught.value.why
    assert not (tmp_path / "out").exists()


def test_an_empty_or_absent_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no attempt"):
        run(RescoreConfig(run=stored_run(tmp_path / "empty", []), out=tmp_path / "out"))
    with pytest.raises(UsageError, match="no directory"):
        run(RescoreConfig(run=tmp_path / "absent", out=tmp_path / "out"))
