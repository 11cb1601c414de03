"""A trial trains in parts and scores each; what is finished is not done again."""

from types import SimpleNamespace

import numpy as np
import pytest
from fakes import mixed_corpus

from agentray.config import EvaluateConfig, TrainConfig, TuneConfig
from agentray.mix.samples import Sample
from agentray.tune.trial import run_trial

RATE = "train.optimizer.learning_rate"


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """Plays a trial with stages that only note what they are asked for; returns the calls and the reports."""
    sample = Sample(np.array([1, 2], np.int32), np.array([False, True]), 0)
    data = mixed_corpus(tmp_path / "mix", {"count": [sample]})
    calls, reports = [], []

    def train(config):
        calls.append(("train", config.num_steps, config.schedule_steps, config.optimizer.learning_rate))
        config.out.mkdir(parents=True, exist_ok=True)
        after = {"chats": 1 + config.num_steps / 1000, "code": 1.0}
        model = str(config.out / "model")
        return SimpleNamespace(model=model, validation_before={"chats": 1.0}, validation_after=after)

    def evaluate(config):
        calls.append(("evaluate", config.policy, config.out.name))
        return SimpleNamespace(
            scores={env: SimpleNamespace(mean=mean) for env, mean in (("a", 0.2), ("b", 0.4))}
        )

    monkeypatch.setattr("agentray.train.run.run", train)
    monkeypatch.setattr("agentray.evaluate.run.run", evaluate)
    monkeypatch.setattr("ray.tune.report", reports.append)

    def play(drawn, **changes):
        calls.clear()
        reports.clear()
        train = TrainConfig(data=data, model="m", out="o", **changes.pop("train", {}))
        settings = {"train": train, "evaluate": EvaluateConfig(envs=["count"]), "out": tmp_path}
        config = TuneConfig(**{**settings, **changes})
        run_trial(drawn, shared=config.model_dump(mode="json"))
        return list(calls), list(reports)

    return play


def test_a_trial_trains_with_its_values_and_reports_what_its_model_can_do(trial, tmp_path):
    calls, (report,) = trial(
        {RATE: 1e-3}, space={RATE: {"grid": [1e-3]}}, train={"num_steps": 20, "eta": 0.5}
    )
    place = tmp_path / "learning_rate-0.001"
    model = str(place / "train" / "model")
    assert calls == [("train", 20, 20, 1e-3), ("evaluate", model, "evaluate-20")]
    assert (report["agent"], report["num_steps"]) == (pytest.approx(0.3), 20)
    assert report["trial"] == {
        "eta": 0.5,
        "agent": report["agent"],
        "scores": {"a": 0.2, "b": 0.4},
        "general_before": 1.0,
        "general_after": pytest.approx(1.01),
        "model": model,
        "settings": {RATE: 1e-3},
        "num_steps": 20,
    }


def test_without_a_value_of_its_own_eta_is_the_mixture_s(trial):
    _, (report,) = trial({RATE: 1e-3}, space={RATE: {"grid": [1e-3]}})
    assert report["trial"]["eta"] == 1.0


def test_a_trial_goes_on_in_parts_on_one_schedule(trial):
    calls, reports = trial({"train.eta": 1.0}, train={"num_steps": 60}, first_score_steps=20)
    assert [each[:3] for each in calls if each[0] == "train"] == [("train", 20, 60), ("train", 60, 60)]
    assert [each[2] for each in calls if each[0] == "evaluate"] == ["evaluate-20", "evaluate-60"]
    assert [each["num_steps"] for each in reports] == [20, 60]


def test_a_finished_part_is_not_done_again_and_more_steps_go_on_from_it(trial):
    part = {"num_steps": 20, "schedule_steps": 60}
    _, first = trial({"train.eta": 1.0}, train=part)
    assert trial({"train.eta": 1.0}, train=part) == ([], first)
    calls, reports = trial({"train.eta": 1.0}, train={**part, "num_steps": 60}, first_score_steps=20)
    assert [each[1] for each in calls if each[0] == "train"] == [60]
    assert reports[0] == first[0] and reports[1]["num_steps"] == 60


def test_a_score_by_other_settings_is_no_score_of_this_trial(trial):
    trial({"train.eta": 1.0})
    calls, _ = trial({"train.eta": 1.0}, evaluate=EvaluateConfig(envs=["count"], num_tasks=7))
    assert [each[0] for each in calls] == ["train", "evaluate"]
    calls, _ = trial({"train.eta": 1.0}, train={"batch_size": 8})
    assert [each[0] for each in calls] == ["train", "evaluate"]
