from itertools import islice

import pytest

from agentray.config import RolloutConfig
from agentray.data.runs import PLAN
from agentray.env.count import Count
from agentray.errors import DataError, UsageError
from agentray.rollout import tasks
from agentray.rollout.plan import Plan
from agentray.rollout.run import run
from agentray.rollout.tasks import source_of
from agentray.types import EnvSpec


def make(tmp_path, **changes):
    config = RolloutConfig(**({"envs": ["count"], "out": tmp_path, "num_tasks": 10} | changes))
    return Plan(*source_of(config), "expert")


def outcomes(attempts):
    return {(each.task.env, each.sample, each.seed): ("completed", 1.0, None) for each in attempts}


def ignore(env, status, reward, error):
    pass


def test_a_larger_plan_makes_the_attempts_of_a_smaller_one_with_equal_seeds(tmp_path):
    small = {each.key: each for each in make(tmp_path, samples=2).missing()}
    large = {each.key: each for each in make(tmp_path, num_tasks=30, samples=5).missing()}
    assert len(small) == 20 and len(large) == 150
    assert all(large[key] == each for key, each in small.items())
    assert len({(each.task.env, each.seed) for each in large.values()}) == 150


def test_the_order_is_the_stream_s_and_each_sample_has_its_temperature(tmp_path):
    made = list(make(tmp_path, num_tasks=2, samples=3, temperatures=[0.0, 0.7]).missing())
    first, second = islice(Count().tasks("train"), 2)
    assert [each.task for each in made] == [first] * 3 + [second] * 3
    assert [each.temperature for each in made] == [0.0, 0.7, 0.0] * 2
    assert [each.seed for each in made][::3] == [0, 1]


@pytest.mark.parametrize("gap", [1, 5, 1000])
def test_what_is_stored_is_left_out_however_the_stream_is_found_again(tmp_path, monkeypatch, gap):
    monkeypatch.setattr(tasks, "_SHORT_GAP", gap)
    everything = list(make(tmp_path, num_tasks=40, samples=2, first_task=3).missing())
    kept = everything[4:21] + everything[60:77]
    stored = [each for each in everything if each not in kept]
    resumed = make(tmp_path, num_tasks=40, samples=2, first_task=3)
    counted = []
    assert resumed.skip(outcomes(stored), lambda *each: counted.append(each)) == len(stored)
    assert counted == [("count", "completed", 1.0, None)] * len(stored)
    assert list(resumed.missing()) == kept


@pytest.mark.parametrize("text", [b"", b"\xff", b"[1]", b"null"])
def test_a_damaged_plan_is_a_data_error_and_stays(tmp_path, text):
    (tmp_path / PLAN).write_bytes(text)
    with pytest.raises(DataError, match="does not hold a plan"):
        run(RolloutConfig(envs=["count"], num_workers=0, num_tasks=1, out=tmp_path))
    assert (tmp_path / PLAN).read_bytes() == text


def test_outcomes_of_another_plan_are_not_counted(tmp_path):
    larger = list(make(tmp_path, num_tasks=12, samples=2).missing())
    resumed = make(tmp_path, num_tasks=10)
    assert resumed.skip(outcomes(larger), ignore) == 10
    assert list(resumed.missing()) == []


class Few(Count):
    def tasks(self, split, start=0):
        return islice(super().tasks(split), start, 7)


def test_an_environment_with_fewer_tasks_than_asked_for_makes_those(tmp_path, monkeypatch):
    spec = EnvSpec("count", f"{__name__}:Few")
    monkeypatch.setattr(tasks, "resolve", lambda name, settings: spec)
    made = make(tmp_path, first_task=2)
    assert made.size == 5 and len(list(made.missing())) == 5


def test_a_run_of_a_model_that_was_trained_anew_is_another_run(tmp_path, monkeypatch):
    config = RolloutConfig(envs=["count"], out=tmp_path, num_tasks=2, num_workers=0)
    monkeypatch.setattr("agentray.rollout.provenance.model_version", lambda name: "first")
    run(config)
    monkeypatch.setattr("agentray.rollout.provenance.model_version", lambda name: "second")
    with pytest.raises(UsageError, match="holds another run") as caught:
        run(config)
    assert "model_version: 'first' there, 'second' here" in caught.value.why
