"""Attempts of environments that are not installed can be read and counted, and that is said."""

import pytest
from fakes import stored_run, trajectory

from agentray import manifest
from agentray.env.absent import absent
from agentray.errors import UsageError
from agentray.evaluate.diagnosis import error_types
from agentray.evaluate.outcomes import read_outcomes
from agentray.evaluate.score import score
from agentray.types import Task


def test_what_its_run_recorded_of_it_is_used(tmp_path):
    attempt = trajectory(0, task=Task("web", "0", "test", {}, "f"), reward=0.5)
    run = stored_run(tmp_path / "run", [attempt])
    known = {"web": {"family": "held_out", "reward_threshold": 0.4}}
    manifest.write(run, manifest.Manifest("rollout", {}, {"environments": known}))
    outcomes = read_outcomes(run)
    environment = outcomes.environments()["web"]
    assert (environment.family, environment.reward_threshold) == ("held_out", 0.4)
    assert score(outcomes.attempts, outcomes.environments())["web"].family == "held_out"


def test_its_attempts_are_scored_and_it_cannot_be_played(tmp_path, caplog):
    absent.cache_clear()
    tasks = [Task("os", str(number), "train", {}, "f") for number in range(3)]
    rewards = (1.0, 0.0, None)
    attempts = [trajectory(0, task=each, reward=reward) for each, reward in zip(tasks, rewards, strict=True)]
    run = stored_run(tmp_path / "run", attempts)
    outcomes = read_outcomes(run)
    environments = outcomes.environments()
    assert score(outcomes.attempts, environments)["os"].mean == 0.5
    assert error_types(attempts[2], environments["os"]) == ()
    assert [each.message for each in caplog.records if "'os' is not installed" in each.message]
    for ask in (environments["os"].make, lambda: environments["os"].tasks("train")):
        with pytest.raises(UsageError, match="unknown environment 'os'"):
            ask()
