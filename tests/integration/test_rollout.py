"""The rollout stage on a real local Ray."""

import os
import signal
import subprocess
import sys
import time

import pytest

from agentray import manifest
from agentray.config import FilterConfig, RolloutConfig
from agentray.data.store import read_run
from agentray.env import Hosting
from agentray.env.count import Count, CountGame
from agentray.errors import ContextLimitError, PolicyError, UsageError
from agentray.policy.scripted import ExpertPolicy
from agentray.rollout.run import run
from agentray.transforms.filtering import run as filter_run
from agentray.types import EnvSpec, PolicySpec

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]


def config(out, **changes):
    return RolloutConfig(**({"envs": ["count"], "out": out, "num_tasks": 40, "num_workers": 2} | changes))


def test_every_attempt_has_one_outcome_and_the_counts_add_up(local_ray, tmp_path):
    summary = run(config(tmp_path, samples=2))
    assert summary.planned == summary.completed + summary.truncated + summary.failed == 80
    assert summary.mean_reward == {"count": 1.0}
    stored = read_run(tmp_path).trajectories
    assert len({each.key for each in stored}) == len(stored) == 80
    assert manifest.read(tmp_path).counts["completed"] == 80


def test_the_worker_count_changes_no_seed_and_no_result(local_ray, tmp_path):
    run(config(tmp_path / "a", num_workers=1, policy="random"))
    run(config(tmp_path / "b", num_workers=3, policy="random", in_flight=5))
    one, other = (
        {
            each.key: (each.seed, each.reward, [turn.reply.text for turn in each.turns])
            for each in read_run(tmp_path / name).trajectories
        }
        for name in ("a", "b")
    )
    assert one == other


def test_the_same_command_resumes_and_a_longer_one_extends(local_ray, tmp_path):
    run(config(tmp_path, num_tasks=10))
    again = run(config(tmp_path, num_tasks=10))
    assert (again.resumed, again.num_turns) == (10, 0)
    more = run(config(tmp_path, num_tasks=25))
    assert (more.planned, more.resumed, more.completed) == (25, 10, 25)
    with pytest.raises(UsageError, match="holds another run"):
        run(config(tmp_path, policy="random"))


def test_a_killed_driver_loses_nothing(tmp_path):
    command = [
        sys.executable, "-m", "agentray", "rollout", "--env", "count", "--num-tasks", "30000",
        "--out", str(tmp_path),
    ]  # fmt: skip
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not an_attempt_has_ended(tmp_path):
        assert time.monotonic() < deadline and driver.poll() is None
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    finished = {each.key for each in read_run(tmp_path).trajectories}
    assert finished
    done = subprocess.run([*command[:-3], "2000", *command[-2:], "--json"], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    stored = [each.key for each in read_run(tmp_path).trajectories]
    assert len(stored) == len(set(stored)) and finished <= set(stored)


def an_attempt_has_ended(out):
    try:
        ended = any(b'"end":' in path.read_bytes() for path in out.glob("journal-*"))
    except FileNotFoundError:  # it has become a shard
        ended = True
    return ended or any(out.glob("shard-*.parquet"))


def test_an_endpoint_that_does_not_answer_ends_the_run_before_any_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr("agentray.policy.http._RETRIES", 0)
    with pytest.raises(PolicyError, match="does not answer"):
        run(config(tmp_path, policy="http://127.0.0.1:9/v1", num_workers=0))
    assert not list(tmp_path.glob("journal-*")) and not list(tmp_path.glob("shard-*"))


def test_a_dying_worker_is_replaced_and_its_attempts_are_made_again(local_ray, tmp_path, monkeypatch):
    mark = tmp_path / "died"
    spec = PolicySpec(
        "mortal", f"{__name__}:Mortal", {"mark": str(mark)}, paid=False, knows_task=True, shared="attempt"
    )
    monkeypatch.setattr("agentray.rollout.provenance.resolve_policy", lambda *args, **kwargs: spec)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    summary = run(config(tmp_path / "run", num_tasks=20))
    assert mark.exists()
    assert (summary.completed, summary.failed) == (20, 0)


def test_a_full_context_in_an_engine_actor_truncates_the_episode(local_ray, tmp_path, monkeypatch):
    spec = PolicySpec("full", f"{__name__}:FullEngine", shared="run")
    monkeypatch.setattr("agentray.rollout.provenance.resolve_policy", lambda *args, **kwargs: spec)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    summary = run(config(tmp_path, num_tasks=5))
    assert (summary.truncated, summary.failed) == (5, 0)
    assert read_run(tmp_path).trajectories[0].context_full


class FullEngine:
    """An engine whose context is always full."""

    async def ready(self):
        pass

    async def act(self, messages, sampling, info):
        raise ContextLimitError("too long", "it is full", "make room")

    async def close(self):
        pass


def test_rejected_and_kept_add_up_over_the_stage(local_ray, tmp_path):
    run(config(tmp_path / "good"))
    run(config(tmp_path / "bad", policy="random"))
    done = filter_run(FilterConfig(runs=[tmp_path / "good", tmp_path / "bad"], out=tmp_path / "kept"))
    assert done.read == done.kept + sum(done.rejected.values()) == 80


class Mortal(ExpertPolicy):
    """The expert, but the first one that is used kills its process."""

    def __init__(self, environment, task, seed, mark):
        super().__init__(environment, task, seed)
        self._mark = mark

    async def ready(self):
        try:
            os.close(os.open(self._mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os._exit(1)


def test_a_worker_whose_threads_hang_is_replaced(local_ray, tmp_path, monkeypatch):
    spec = EnvSpec("count", f"{__name__}:Hanging", {"mark": str(tmp_path / "marks")})
    (tmp_path / "marks").mkdir()
    monkeypatch.setattr("agentray.rollout.tasks.resolve", lambda *args: spec)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    summary = run(config(tmp_path / "run", num_tasks=40, num_workers=1, episode_timeout_s=0.5))
    assert (summary.completed, summary.failed) == (40, 0)
    assert summary.lost_workers >= 1
    assert "hang in its threads" in (tmp_path / "run" / "log.jsonl").read_text()


class HangingGame(CountGame):
    """The first twenty of these hang for good at their first step."""

    def __init__(self, mark):
        super().__init__()
        self._mark = mark

    def step(self, action):
        for number in range(20):
            try:
                os.close(os.open(os.path.join(self._mark, str(number)), os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            time.sleep(600)
        return super().step(action)


class Hanging(Count):
    """Counting in threads, twenty times in vain."""

    hosting = Hosting("thread")

    def __init__(self, mark):
        super().__init__()
        self._mark = mark

    def make(self):
        return HangingGame(self._mark)
