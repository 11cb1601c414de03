"""Sweeps on a real Ray Tune, with trials that only pretend to train."""

import json

import numpy as np
import pytest
from fakes import mixed_corpus

from agentray.config import EvaluateConfig, TrainConfig, TuneConfig
from agentray.errors import DataError
from agentray.mix.samples import Sample
from agentray.tune.run import run
from agentray.types import silent

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]
RATE = "train.optimizer.learning_rate"


@pytest.fixture
def sweep(local_ray, tiny_model, tmp_path, monkeypatch):
    """Makes a sweep whose trials are as able as η is high, and note the steps that they make."""
    sample = Sample(np.array([1, 2], np.int32), np.array([False, True]), 0)
    data = mixed_corpus(tmp_path / "mix", {"count": [sample]})
    made = tmp_path / "made.txt"
    monkeypatch.setattr("agentray.tune.run.run_trial", pretending(str(made)))

    def start(out="sweep", progress=silent, **changes):
        train = TrainConfig(data=data, model=tiny_model, out=tmp_path / out, num_steps=60, eta=1.0)
        settings = {"train": train, "evaluate": EvaluateConfig(envs=["count"]), "out": tmp_path / out}
        made.write_text("")
        summary = run(TuneConfig(**{**settings, **changes}), progress)
        return summary, made.read_text().split()

    return start


def pretending(path):
    """A trial that reports what it would after each part of a training."""

    def trial(drawn, *, shared):
        from dataclasses import asdict

        from ray import tune

        from agentray.config import TuneConfig
        from agentray.errors import DataError
        from agentray.tune.space import directory, rounded
        from agentray.tune.trial import score_steps
        from agentray.tune.trials import Trial

        config = TuneConfig.model_validate(shared)
        values = rounded(config, drawn)
        number = next(iter(values.values()))
        if number == 0.5:
            raise DataError("no sample", "the file is empty", "give another")
        for steps in score_steps(config):
            with open(path, "a") as stream:
                stream.write(f"{number}:{steps}\n")
            model = directory(values)
            trial = Trial(1.0, number, {"count": number}, None, None, model, values, steps)
            tune.report({"agent": number, "num_steps": steps, "trial": asdict(trial)})

    return trial


def test_every_combination_of_grids_is_a_trial_and_a_finished_sweep_is_not_made_again(sweep, tmp_path):
    space = {"train.seed": {"grid": [1, 2]}, "train.batch_size": {"grid": [4, 8]}}
    seen = []
    found, made = sweep(space=space, progress=lambda done, total, **fields: seen.append((done, total)))
    assert len(found.trials) == 4 and len(made) == 4 and seen[-1] == (4, 4)
    assert found.recommended in ("seed=2, batch_size=4", "seed=2, batch_size=8")
    table = json.loads((tmp_path / "sweep" / "table.json").read_text())
    assert [tuple(each["settings"].values()) for each in table] == [(1, 4), (1, 8), (2, 4), (2, 8)]
    assert "recommended" in json.loads((tmp_path / "sweep" / "manifest.json").read_text())["counts"]
    assert not (tmp_path / "sweep" / "plot.svg").exists()
    assert sweep(space=space) == (found, [])
    grown, _ = sweep(space={**space, "train.seed": {"grid": [1, 2, 3]}})
    assert len(grown.trials) == 6


def test_equal_seeds_draw_equal_trials(sweep):
    space = {RATE: {"loguniform": [1e-5, 1e-3]}}
    first, made = sweep(space=space, num_trials=3)
    assert len(first.trials) == len(set(made)) == 3
    assert sweep("again", space=space, num_trials=3)[0].trials == first.trials
    assert sweep("other", space=space, num_trials=3, seed=1)[0].trials.keys() != first.trials.keys()


def test_asha_lets_the_best_go_on_and_stops_the_others(sweep):
    space = {"train.optimizer.weight_decay": {"grid": [0.9, 0.2, 0.1]}}
    found, made = sweep(space=space, scheduler="asha", first_score_steps=20)
    assert made == ["0.9:20", "0.9:60", "0.2:20", "0.1:20"]
    assert {name: each.num_steps for name, each in found.trials.items()} == {"0.9": 60, "0.2": 20, "0.1": 20}
    assert found.recommended == "0.9"


def test_a_trial_that_fails_ends_the_sweep_with_its_own_error(sweep):
    with pytest.raises(Exception, match="a trial failed: no sample") as caught:
        sweep(space={"train.optimizer.weight_decay": {"grid": [0.5]}})
    assert caught.value.why == "the file is empty" and not isinstance(caught.value, DataError)
