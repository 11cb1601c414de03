"""A sweep that cannot work is refused before Ray, and a trial that failed says why."""

import numpy as np
import pytest
from fakes import mixed_corpus

from agentray.config import EvaluateConfig, TrainConfig, TuneConfig
from agentray.errors import DataError, MissingDependencyError, UsageError
from agentray.mix.samples import Sample
from agentray.tune.run import _failed, run


@pytest.fixture
def mixed(tmp_path):
    """A tokenized corpus of one agent sample."""
    sample = Sample(np.array([1, 2], np.int32), np.array([False, True]), 0)
    return mixed_corpus(tmp_path / "mix", {"count": [sample]})


def sweep(data, out, model="no/such/model", etas=(1.0,), **changes):
    evaluate = {name: changes.pop(name) for name in ("envs", "env") if name in changes}
    return TuneConfig(
        train=TrainConfig(data=data, model=model, out=out),
        evaluate=EvaluateConfig(**{"envs": ["count"], **evaluate}),
        out=out,
        etas=etas,
        **changes,
    )


def model(tmp_path):
    directory = tmp_path / "model"
    directory.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (directory / name).write_text("{}")
    return str(directory)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"etas": [0.5]}, "general"),
        ({"model": "no such model"}, "no model"),
        ({"envs": ["cuont"]}, "unknown environment 'cuont'"),
        ({"env": {"count": {"max_turns": 0}}}, "'env.count.max_turns' is 0"),
        ({"space": {"train.etta": {"grid": [1]}}}, "unknown setting 'train.etta'"),
        ({"space": {"train.optimizer.rate": {"grid": [1]}}}, "unknown setting 'train.optimizer.rate'"),
        ({"space": {"train.optimizer.learning_rate": {"uniform": [-1, 1]}}}, "learning_rate' is -1"),
        ({"space": {"train.method.temperature": {"choice": [1]}}}, "'train.method.temperature'"),
        ({"space": {"train.method.name": {"choice": ["ful"]}}}, "unknown training method 'ful'"),
        ({"space": {"train.eta.x": {"choice": [1]}}}, "'train.eta.x'"),
        ({"space": {"evaluate.seed": {"choice": [1]}}}, "'evaluate.seed' in tune.space"),
        ({"space": {"train.num_steps": {"choice": [1]}}}, "'train.num_steps' cannot vary"),
        ({"space": {"train.weights.cuont": {"choice": [1]}}}, "source 'cuont'"),
        ({"scheduler": "asha"}, "nothing to stop"),
    ],
)
def test_what_would_end_every_trial_is_refused_before_the_first(tmp_path, mixed, wrong, said):
    out = tmp_path / "sweep"
    with pytest.raises(UsageError, match=said):
        run(sweep(mixed, out, **{"model": model(tmp_path), **wrong}))
    with pytest.raises(UsageError, match="no directory"):
        run(sweep(tmp_path / "absent", out))
    assert not out.exists()


def test_a_search_whose_library_is_absent_is_refused(tmp_path, mixed, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    wanted = sweep(mixed, tmp_path / "sweep", model(tmp_path), search="optuna")
    with pytest.raises(MissingDependencyError, match="optuna") as caught:
        run(wanted)
    assert "pip install optuna" in caught.value.fix and not (tmp_path / "sweep").exists()


class Wrapped(Exception):
    """As Ray hands back what a trial raised."""

    def __init__(self, cause):
        super().__init__(f"Traceback:\n  line\n{cause}")
        self.cause = cause


def test_a_failed_trial_says_why():
    told = _failed(Wrapped(DataError("no sample", "the file is empty", "give another")))
    assert (told.what, told.why, told.fix) == (
        "a trial failed: no sample",
        "the file is empty",
        "give another",
    )
    told = _failed(Wrapped(ValueError("odd shape")))
    assert (told.what, told.why) == ("a trial failed", "odd shape")
