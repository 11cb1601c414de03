import pytest

from agentray.config import MixConfig, RolloutConfig, TrainConfig, TuneConfig, load
from agentray.errors import UsageError


def rollout(**given):
    return load(RolloutConfig, "rollout", **given)


def test_later_sources_of_a_setting_win(tmp_path):
    file = tmp_path / "job.toml"
    file.write_text(
        '[rollout]\nenvs = ["count"]\nout = "a"\nnum_tasks = 1\nseed = 1\n'
        "[env.count]\nmax_turns = 3\n[train]\n"
    )
    config = rollout(file=file, values={"num_tasks": 2, "split": None}, overrides=["rollout.num_tasks=3"])
    assert (config.num_tasks, config.seed, config.split) == (3, 1, "train")
    assert config.env == {"count": {"max_turns": 3}}


def test_overrides_reach_nested_tables_and_keep_plain_text():
    values = {"envs": ["count"], "out": "a", "env": {"database": {"seed": 1}}}
    overrides = ["rollout.sampling.temperature=0.5", "env.database.data=dev.jsonl", "rollout.policy=expert"]
    config = rollout(values=values, overrides=overrides)
    assert config.sampling.temperature == 0.5
    assert config.env == {"database": {"seed": 1, "data": "dev.jsonl"}}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["rollout.num_task=3"], "did you mean 'num_tasks'?"),
        (["rollout.sampling.temprature=3"], "did you mean 'temperature'?"),
        (["rollout.num_tasks=0"], "greater than or equal to 1"),
        (["nonsense"], "not of the form table.key=value"),
        (["rolout.num_tasks=3"], "did you mean 'rollout'?"),
        (["rollout.split=tests"], "'train', 'validation' or 'test'"),
        (["rollout.envs.a=1"], "it is not a table"),
        (["rollout.policy=random", "rollout.policy.a=1"], "it is not a table"),
        (["rollout.sampling=3"], "should be a valid dictionary"),
        (["env=3"], "not of the form"),
        (["env.count=3"], "should be a valid dictionary"),
        (["env.count=3", "env.count.length=3"], "it is not a table"),
    ],
)
def test_a_wrong_setting_is_named_with_the_accepted_ones(overrides, said):
    with pytest.raises(UsageError) as caught:
        rollout(values={"envs": ["count"], "out": "a"}, overrides=overrides)
    assert said in caught.value.why


@pytest.mark.parametrize("text", ["rollout = 3", "[rollout]\nsampling = 3", "env = 3", "[env]\ncount = 3"])
def test_a_file_with_something_else_where_a_table_belongs_is_refused(tmp_path, text):
    file = tmp_path / "job.toml"
    file.write_text(text)
    given = {"envs": ["count"], "out": "a", "sampling": {"temperature": 1}, "env": {"count": {"length": 2}}}
    with pytest.raises(UsageError):
        rollout(file=file)
    with pytest.raises(UsageError):
        rollout(file=file, values=given)


def test_a_sweep_scores_with_the_settings_of_its_environments(tmp_path):
    file = tmp_path / "job.toml"
    file.write_text("[env.count]\nlength = 2\nmax_turns = 4\n")
    values = {"out": "sweep", "train": {"data": "d", "model": "m"}, "evaluate": {"envs": ["count"]}}
    config = load(TuneConfig, "tune", file=file, values=values, overrides=["env.count.length=3"])
    assert config.evaluate.env == config.env == {"count": {"length": 3, "max_turns": 4}}
    again = TuneConfig.model_validate(config.model_dump(mode="json"))
    assert again == config


@pytest.mark.parametrize("overrides", [["tune.train=5"], ["tune.evaluate=x"], ["tune.train.optimizer=x"]])
def test_a_sweep_whose_stage_is_no_table_is_refused(overrides):
    values = {"out": "sweep", "evaluate": {"envs": ["count"]}}
    with pytest.raises(UsageError):
        load(TuneConfig, "tune", values=values, overrides=overrides)


def test_what_is_wrong_inside_a_list_is_mended_by_giving_the_list():
    values = {"agent": ["a"], "out": "b", "model": "m", "general": [{"name": "talks"}]}
    with pytest.raises(UsageError) as caught:
        load(MixConfig, "mix", values=values)
    assert (caught.value.what, caught.value.fix) == (
        "setting 'mix.sources.1.path' is missing",
        "--set mix.sources=…",
    )
    with pytest.raises(UsageError, match=r"'mix\.general' is \[") as caught:
        load(MixConfig, "mix", values=values, overrides=["mix.general.0.name=x"])
    assert caught.value.fix == "give it whole: --set mix.general=…"


def test_a_missing_setting_names_its_option():
    with pytest.raises(UsageError) as caught:
        rollout(values={"out": "a"})
    assert caught.value.what == "setting 'rollout.envs' is missing"
    assert "--env" in caught.value.fix


@pytest.mark.parametrize("eta", [-0.1, 1.5])
def test_eta_outside_its_range_is_refused(eta):
    with pytest.raises(UsageError):
        load(MixConfig, "mix", values={"agent": ["a"], "out": "b", "model": "m", "eta": eta})
    with pytest.raises(UsageError):
        load(TrainConfig, "train", values={"data": "a", "out": "b", "model": "m", "eta": eta})


def test_settings_that_do_not_fit_together_are_refused():
    values = {"data": "a", "out": "b", "model": "m", "batch_size": 2, "num_workers": 4}
    with pytest.raises(UsageError, match="leaves some of 4 workers idle"):
        load(TrainConfig, "train", values=values)


@pytest.mark.parametrize("text", ["[rollout", b"\xff\xfe"])
def test_an_unreadable_file_is_a_usage_error(tmp_path, text):
    file = tmp_path / "job.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError):
        rollout(file=file)
    with pytest.raises(UsageError):
        rollout(file=tmp_path / "absent.toml")


def test_trials_of_a_sweep_live_in_its_directory():
    values = {"out": "sweep", "train": {"data": "d", "model": "m"}, "evaluate": {"envs": ["count"]}}
    config = load(TuneConfig, "tune", values=values)
    assert str(config.train.out) == str(config.evaluate.out) == "sweep"
