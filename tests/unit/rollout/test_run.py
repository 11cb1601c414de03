import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from agentray import manifest
from agentray.config import RolloutConfig
from agentray.env import TextEnvironment
from agentray.env.count import Count
from agentray.errors import UsageError
from agentray.rollout import run as stage
from agentray.rollout import tasks
from agentray.rollout.run import run
from agentray.stage import read_plan
from agentray.types import EnvSpec


def config(out, **changes):
    return RolloutConfig(**({"envs": ["count"], "out": out, "num_tasks": 10, "num_workers": 0} | changes))


class Unsolved(Count):
    """A game that nobody has solved."""

    expert = TextEnvironment.expert


def test_an_environment_without_an_expert_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[3])])  # for this module's name
    spec = EnvSpec("count", f"{__name__}:Unsolved")
    monkeypatch.setattr(tasks, "resolve", lambda name, settings: spec)
    with pytest.raises(UsageError, match="has no expert"):
        run(config(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes", [{"num_tasks": 25}, {"samples": 2}])
def test_a_run_that_is_being_extended_does_not_say_that_it_is_complete(tmp_path, monkeypatch, changes):
    async def interrupted(*args):
        raise KeyboardInterrupt

    run(config(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(stage, "_drive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config(tmp_path, **changes))
    assert not manifest.is_complete(tmp_path)
    more = run(config(tmp_path, **changes))
    assert manifest.read(tmp_path).counts["planned"] == more.planned == more.completed > 10


def test_a_run_that_is_complete_stays_so_when_it_is_asked_for_again(tmp_path, monkeypatch):
    run(config(tmp_path))
    monkeypatch.setattr(stage, "_summary", None)  # it gets no further
    with pytest.raises(TypeError):
        run(config(tmp_path))
    assert manifest.read(tmp_path).counts["planned"] == 10


def test_a_run_stores_what_later_stages_need_of_its_environments(tmp_path):
    summary = run(config(tmp_path, env={"count": {"length": 3}}))
    stored = manifest.read(tmp_path).counts["environments"]
    assert stored == {"count": asdict(summary.environments["count"])} == read_plan(tmp_path)["environments"]
    expected = {"settings": {"length": 3}, "version": "1", "family": "held_in", "reward_threshold": 1.0}
    assert stored["count"] == {"entry_point": "agentray.env.count:Count", **expected}
