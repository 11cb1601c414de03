"""Which settings vary, and what trials with their values are and are called."""

import pytest
from pydantic import ValidationError

from agentray.config import Distribution, EvaluateConfig, TrainConfig, TuneConfig, load
from agentray.errors import UsageError
from agentray.tune.run import fitting
from agentray.tune.search import distributions
from agentray.tune.space import directory, examples, label, rounded, with_values
from agentray.tune.trial import score_steps

RATE = "train.optimizer.learning_rate"


def sweep(**changes):
    train = TrainConfig(**{"data": "d", "model": "m", "out": "o", **changes.pop("train", {})})
    evaluate = EvaluateConfig(**{"envs": ["count"], **changes.pop("evaluate", {})})
    return TuneConfig(**{"train": train, "evaluate": evaluate, "out": "o", **changes})


def test_values_become_settings_of_training_wherever_they_stand():
    train = {"method": {"name": "distill", "share": 0.5}, "optimizer": {"weight_decay": 0.1}}
    values = {RATE: 1e-3, "train.eta": 0.3, "train.method.temperature": 0.7, "train.weights.chats": 2.0}
    found = with_values(sweep(train=train), values)
    assert (found.optimizer.learning_rate, found.optimizer.weight_decay, found.eta) == (1e-3, 0.1, 0.3)
    assert found.method == {"name": "distill", "share": 0.5, "temperature": 0.7}
    assert found.weights == {"chats": 2.0}


def test_an_unknown_setting_names_the_closest_one():
    with pytest.raises(UsageError) as caught:
        with_values(sweep(), {"train.optimizer.learning_rat": 1e-3})
    assert "did you mean 'learning_rate'?" in caught.value.why
    with pytest.raises(UsageError, match=r"unknown setting 'train\.model\.x'"):
        with_values(sweep(), {"train.model.x": 1})


def test_the_space_is_read_from_nested_tables_quoted_names_and_etas(tmp_path):
    file = tmp_path / "tune.toml"
    file.write_text("""
[tune]
out = "o"
etas = [0.5, 0.2]
train = {data = "d", model = "m"}
evaluate = {envs = ["count"]}
[tune.space]
"train.batch_size" = {choice = [8, 16]}
[tune.space.train.optimizer]
learning_rate = {loguniform = [1e-5, 1e-3]}
""")
    found = load(TuneConfig, "tune", file=file).space
    assert set(found) == {"train.batch_size", RATE, "train.eta"}
    assert found["train.eta"].grid == [0.2, 0.5] and found[RATE].loguniform == (1e-5, 1e-3)
    assert set(sweep().space) == {"train.eta"}
    assert set(sweep(space={RATE: {"grid": [1e-4]}}).space) == {RATE}


@pytest.mark.parametrize(
    "wrong", [{}, {"grid": []}, {"grid": [1], "choice": [1]}, {"uniform": (1, 1)}, {"loguniform": (0, 1)}]
)
def test_a_distribution_is_one_of_its_kinds(wrong):
    with pytest.raises(ValidationError):
        Distribution(**wrong)


def test_every_listed_value_and_each_end_of_a_range_is_tried_before_a_sweep():
    config = sweep(space={"train.eta": {"grid": [0.1, 0.2]}, RATE: {"uniform": (1e-4, 1e-3)}})
    assert examples(config) == [
        {"train.eta": 0.1, RATE: 1e-4},
        {"train.eta": 0.2, RATE: 1e-4},
        {"train.eta": 0.1, RATE: 1e-4},
        {"train.eta": 0.1, RATE: 1e-3},
    ]


def test_trials_are_called_by_their_settings():
    assert label({"train.eta": 1.0}) == "1" and directory({"train.eta": 1.0}) == "eta-1"
    both = {"train.eta": 0.123456789, RATE: 3e-4}
    assert directory(both) == "eta-0.123456789,learning_rate-0.0003"
    assert label(both) == "eta=0.123456789, learning_rate=0.0003"
    alike = {"train.a.share": 1, "train.b.share": 2}
    assert directory(alike) == "train.a.share-1,train.b.share-2"


def test_names_that_a_file_system_would_not_take_stay_apart():
    names = {directory({"train.model": model}) for model in ("a/b", "a_b", "a b", "x" * 300, "x" * 299)}
    assert len(names) == 5 and all("/" not in name and len(name) < 200 for name in names)


def test_a_drawn_number_is_what_its_name_says():
    config = sweep(space={RATE: {"loguniform": (1e-5, 1e-3)}, "train.eta": {"grid": [0.123456789]}})
    found = rounded(config, {RATE: 0.000123456789, "train.eta": 0.123456789})
    assert found == {RATE: 0.000123457, "train.eta": 0.123456789}
    assert directory(found) == "learning_rate-0.000123457,eta-0.123456789"


def test_trials_are_scored_at_multiples_of_the_first_step():
    steps = {"train": {"num_steps": 60}}
    assert score_steps(sweep(**steps)) == [60]
    assert score_steps(sweep(**steps, first_score_steps=20)) == [20, 60]
    assert score_steps(sweep(**steps, first_score_steps=5, score_factor=2)) == [5, 10, 20, 40, 60]
    assert score_steps(sweep(**steps, first_score_steps=90)) == [60]


@pytest.mark.parametrize(
    ("train", "evaluate", "cluster", "expected"),
    [
        ({}, {}, {"CPU": 4}, 4),
        ({}, {}, {"CPU": 64}, 8),
        ({"num_workers": 2}, {}, {"CPU": 5}, 2),
        ({"num_workers": 2, "gpus_per_worker": 1}, {}, {"CPU": 64, "GPU": 6}, 3),
        ({"gpus_per_worker": 0.5}, {"engine": {"num_gpus": 1}}, {"CPU": 64, "GPU": 2}, 2),
        ({"num_workers": 8, "gpus_per_worker": 1}, {}, {"CPU": 64, "GPU": 4}, 1),
        ({"gpus_per_worker": 1}, {}, {"CPU": 64}, 1),
    ],
)
def test_as_many_trials_run_at_once_as_their_workers_and_engines_fit(train, evaluate, cluster, expected):
    config = sweep(train=train, evaluate=evaluate, max_concurrent=8)
    assert fitting(config, cluster) == expected


def test_a_grid_is_gone_through_and_libraries_choose_from_it():
    from ray.tune.search.sample import Categorical

    space = {"train.eta": {"grid": [0.1, 0.2]}, RATE: {"loguniform": (1e-5, 1e-3)}}
    found = distributions(sweep(space=space))
    assert found["train.eta"] == {"grid_search": [0.1, 0.2]}
    assert (found[RATE].lower, found[RATE].upper) == (1e-5, 1e-3)
    chosen = distributions(sweep(space=space, search="optuna"))["train.eta"]
    assert isinstance(chosen, Categorical) and chosen.categories == [0.1, 0.2]
