"""A sweep that cannot work is refused before Ray, and a trial that failed says why."""

import numpy as np
import pytest
from fakes import mixed_corpus

from agentray.config import EvaluateConfig, TrainConfig, TuneConfig
from agentray.errors import DataError, UsageError
from agentray.mix.samples import Sample
from agentray.tune.run import _failed, run


@pytest.fixture
def mixed(tmp_path):
    """A tokenized corpus of one agent sample."""
    sample = Sample(np.array([1, 2], np.int32), np.array([False, True]), 0)
    return mixed_corpus(tmp_path / "mix", {"count": [sample]})


def sweep(data, out, model="no/such/model", etas=(1.0,), **evaluate):
    return TuneConfig(
        train=TrainConfig(data=data, model=model, out=out),
        evaluate=EvaluateConfig(**{"envs": ["count"], **evaluate}),
        out=out,
        etas=etas,
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
    ],
)
def test_what_would_end_every_trial_is_refused_before_the_first(tmp_path, mixed, wrong, said):
    out = tmp_path / "sweep"
    with pytest.raises(UsageError, match=said):
        run(sweep(mixed, out, **{"model": model(tmp_path), **wrong}))
    with pytest.raises(UsageError, match="no directory"):
        run(sweep(tmp_path / "absent", out))
    assert not out.exists()


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
