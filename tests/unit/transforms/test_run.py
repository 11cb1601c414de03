"""The transform stage: its settings, its directory, and what it does a second time."""

import pytest
from fakes import stored_run, trajectory

from agentray import manifest
from agentray.config import TransformConfig, load
from agentray.data.store import read_run
from agentray.errors import DataError, UsageError
from agentray.transforms.run import run

MADE = [trajectory(0), trajectory(1, reward=0.0), trajectory(2, status="truncated")]


@pytest.fixture
def config(tmp_path):
    stored_run(tmp_path / "run", MADE)
    return TransformConfig(runs=[tmp_path / "run"], apply=["completed", "min_reward"], out=tmp_path / "out")


def test_what_is_kept_is_a_run_of_its_own_with_counts_that_add_up(config):
    found = run(config)
    assert (found.read, found.kept, found.kept_by_env) == (3, 1, {"count": 1})
    assert found.rejected == {"completed": {"truncated": 1}, "min_reward": {"low_reward": 1}}
    assert read_run(config.out).trajectories == MADE[:1]
    written = manifest.read(config.out)
    assert (written.stage, written.counts["read"]) == ("transform", 3)
    assert run(config) == found


def test_a_transformed_run_can_be_transformed_again(config, tmp_path):
    run(config)
    again = run(TransformConfig(runs=[config.out], apply=["distinct"], out=tmp_path / "again"))
    assert (again.read, again.kept) == (1, 1)


def test_another_chain_in_the_same_directory_is_refused(config):
    run(config)
    with pytest.raises(UsageError, match="holds another run"):
        run(config.model_copy(update={"settings": {"min_reward": {"threshold": 0.5}}}))


def test_a_run_that_grew_makes_it_another_chain(config):
    run(config)
    manifest.write(config.runs[0], manifest.Manifest("rollout", {"env": {}}, {"planned": 4}))
    with pytest.raises(UsageError, match="holds another run"):
        run(config)


def test_a_chain_that_keeps_nothing_leaves_nothing(config):
    with pytest.raises(DataError, match=r"keeps none of 3(.|\n)*'min_reward': {'low_reward': 2}"):
        run(config.model_copy(update={"settings": {"min_reward": {"threshold": 2}}}))
    assert not config.out.exists()


@pytest.mark.parametrize("out", ["run", "run/kept", "."])
def test_the_run_that_is_read_is_never_written_over(config, tmp_path, out):
    before = sorted(each.name for each in (tmp_path / "run").iterdir())
    with pytest.raises(UsageError, match="cannot write to"):
        run(config.model_copy(update={"out": tmp_path / out}))
    assert sorted(each.name for each in (tmp_path / "run").iterdir()) == before


def test_a_directory_with_other_files_is_left_alone(config):
    config.out.mkdir()
    (config.out / "shard-000000.parquet").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        run(config)
    assert (config.out / "shard-000000.parquet").read_text() == "mine"


def test_a_run_that_is_not_complete_is_refused(config):
    (config.runs[0] / manifest.NAME).unlink()
    with pytest.raises(UsageError, match="is not complete"):
        run(config)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"apply": ["completed", "min_rewards"]}, "did you mean 'min_reward'"),
        ({"settings": {"distinct": {}}}, "--apply distinct"),
        ({"settings": {"min_reward": {"treshold": 1}}}, "did you mean 'threshold'"),
        ({"policy": "expert"}, "only plays episodes"),
        ({"policy": "smollm2-135m"}, "agentray serve"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(config, monkeypatch, changes, words):
    monkeypatch.setattr("agentray.policy.resolve.resolve_model", lambda name: name)
    with pytest.raises(UsageError) as caught:
        run(config.model_copy(update=changes))
    assert words in str(caught.value)
    assert not config.out.exists()


def test_a_step_is_applied_once():
    values = {"runs": ["a"], "apply": ["distinct", "distinct"], "out": "b"}
    with pytest.raises(UsageError, match="applied twice"):
        load(TransformConfig, "transform", values=values)
