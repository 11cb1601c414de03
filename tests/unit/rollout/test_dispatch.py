import asyncio
import errno
import itertools
import json
import os
import random
import time
from collections import Counter

import pytest

from agentray.data.store import RunStore, read_run
from agentray.env import Hosting
from agentray.env.count import Count, CountGame
from agentray.errors import ContextLimitError, PolicyError, ResourceError, UnavailableError
from agentray.policy import router
from agentray.rollout import dispatch
from agentray.rollout.chaos import Chaos
from agentray.rollout.counts import RunCounts
from agentray.rollout.dispatch import Dispatcher, Rules
from agentray.rollout.protocol import Limits, WorkerDied
from agentray.rollout.worker import RolloutWorker
from agentray.types import Attempt, EnvSpec, PolicySpec, Reply, Sampling, Usage, silent

LENGTH = 4
SPEC = EnvSpec("count", "agentray.env.count:Count", {"length": LENGTH})
ENDPOINT = PolicySpec("counting", "unused:unused")


class Counting:
    """Says the next number, and counts how often it is asked for each conversation's next turn."""

    def __init__(self, fails=None):
        self.asked = Counter()
        self._fails = fails

    async def ready(self):
        pass

    async def act(self, messages, sampling, info):
        await asyncio.sleep(0)
        self.asked[messages[2].content, len(messages)] += 1
        if self._fails:
            self._fails()
        last = int(messages[-1].content.rsplit(" ", 1)[-1])
        return Reply(f"Action: {last + 1}", usage=Usage(10, 3), finish_reason="stop")

    async def close(self):
        pass


class Mortal:
    """A worker that dies now and then, before or after it did what it was told."""

    def __init__(self, policy, spec=SPEC, death=lambda: False):
        self._policy, self._spec, self._death = policy, spec, death
        self._inner = None

    async def ready(self):
        limits = Limits(5.0, 30.0, 64)
        policies = {"one": self._policy}
        self._inner = RolloutWorker([self._spec], ENDPOINT, policies, Sampling(), limits, Chaos({}))
        return await self._inner.ready()

    async def exchange(self, assignments, acknowledged):
        if self._death():
            await self._die()
        update = await self._inner.exchange(assignments, acknowledged)
        if self._death():
            await self._die()
        return update

    async def _die(self):
        await self._inner.close()
        raise WorkerDied("killed by SIGKILL")


def attempts(number, spec=SPEC):
    tasks = itertools.islice(Count(**spec.kwargs).tasks("train"), number)
    return (Attempt(task, 0, seed, "counting") for seed, task in enumerate(tasks))


def drive(tmp_path, workers, *, number=40, retries=2, resumable=("count",), in_flight=16):
    with RunStore(tmp_path, segment_rows=16) as store:
        missing = (each for each in attempts(number) if each.key not in store.finished)
        counts = RunCounts(number, {"count": 1.0}, silent, tmp_path / "log.jsonl")
        rules = Rules(in_flight, retries, frozenset(resumable))
        dispatcher = Dispatcher(missing, store, rules, counts)
        try:
            asyncio.run(dispatcher.run(workers))
        finally:
            counts.close()
    return counts


def assert_all_won(tmp_path, number=40):
    stored = read_run(tmp_path).trajectories
    assert len({each.key for each in stored}) == len(stored) == number
    assert all((each.status, each.reward, len(each.turns)) == ("completed", 1.0, LENGTH) for each in stored)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(router, "pause_s", lambda failures: 0.001)
    for rest in ("_FIRST_REST_S", "_LONGEST_REST_S"):
        monkeypatch.setattr(router, rest, 0.001)
    monkeypatch.setattr(dispatch, "_STORE_PAUSES_S", (0.001,) * 3)
    monkeypatch.setattr("agentray.rollout.worker.HEARTBEAT_S", 0.02)


def test_every_attempt_ends_once_over_several_workers(tmp_path):
    policy = Counting()
    counts = drive(tmp_path, [Mortal(policy) for _ in range(3)])
    assert_all_won(tmp_path)
    assert set(policy.asked.values()) == {1}
    assert (counts.statuses["completed"], counts.kept, counts.num_turns) == (40, 40, 40 * LENGTH)
    assert counts.completion_tokens == 3 * 40 * LENGTH


@pytest.mark.parametrize("seed", range(5))
def test_a_dead_worker_costs_at_most_one_turn_per_episode_it_played(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(dispatch, "BLAME_AFTER", 50)  # these deaths are no attempt's fault
    rng, policy = random.Random(seed), Counting()
    counts = drive(tmp_path, [Mortal(policy, death=lambda: rng.random() < 0.15) for _ in range(2)])
    assert_all_won(tmp_path)
    assert counts.lost_workers > 1 and counts.mismatches == 0
    assert sum(policy.asked.values()) - 40 * LENGTH <= killed_episodes(tmp_path)


def killed_episodes(tmp_path):
    log = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    return sum(len(line["attempts"]) for line in log if line["event"] == "worker_lost")


def test_what_a_worker_did_not_deliver_is_all_that_is_paid_again(tmp_path):
    policy, calls = Counting(), itertools.cycle([False] * 5 + [True])  # every third update is lost
    counts = drive(tmp_path, [Mortal(policy, death=lambda: next(calls))])
    assert_all_won(tmp_path)
    assert counts.replayed_turns > 0
    assert 0 < sum(policy.asked.values()) - 40 * LENGTH <= killed_episodes(tmp_path)


def test_without_replay_a_dead_worker_costs_whole_episodes_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatch, "BLAME_AFTER", 50)  # these deaths are no attempt's fault
    rng, policy = random.Random(1), Counting()
    counts = drive(tmp_path, [Mortal(policy, death=lambda: rng.random() < 0.1)], resumable=())
    assert_all_won(tmp_path)
    assert counts.replayed_turns == 0


class Down(Mortal):
    """A worker that dies once; its successor finds the policy down three times."""

    lives = downs = 0

    async def ready(self):
        self.lives += 1
        if 1 < self.lives < 5:
            self.downs += 1
            raise UnavailableError("the engine died", "it starts again", "wait")
        return await super().ready()


def test_a_policy_that_is_down_while_a_worker_comes_back_ends_no_run(tmp_path):
    deaths = itertools.chain([False] * 5, [True], itertools.repeat(False))
    worker = Down(Counting(), death=lambda: next(deaths))
    drive(tmp_path, [worker])
    assert_all_won(tmp_path)
    assert worker.downs == 3


def test_a_policy_that_is_down_at_the_start_ends_the_run(tmp_path):
    worker = Down(Counting())
    worker.lives = 1
    with pytest.raises(UnavailableError, match="engine died"):
        drive(tmp_path, [worker])


class DriverDies(Exception):
    pass


class Last(Mortal):
    """The worker of a driver that dies at its tenth exchange."""

    async def exchange(self, assignments, acknowledged):
        if acknowledged == 9:
            await self._inner.close()
            raise DriverDies
        return await super().exchange(assignments, acknowledged)


def test_a_run_whose_driver_died_pays_for_the_lost_turns_alone(tmp_path):
    policy = Counting()
    with pytest.raises(DriverDies):
        drive(tmp_path, [Last(policy)], in_flight=8)
    with RunStore(tmp_path) as store:
        assert store.finished and len(store.open) == 8
    counts = drive(tmp_path, [Mortal(policy)])
    assert_all_won(tmp_path)
    assert counts.replayed_turns > 0
    assert sum(policy.asked.values()) - 40 * LENGTH <= 8


def test_an_endpoint_that_is_gone_ends_the_run_and_not_every_attempt(tmp_path):
    left = itertools.chain([False] * 30, itertools.repeat(True))

    def vanish():
        if next(left):
            raise UnavailableError("connection refused", "nobody listens", "start it")

    with pytest.raises(UnavailableError, match="in a row") as caught:
        drive(tmp_path, [Mortal(Counting(vanish))], number=400)
    assert "nobody listens" in caught.value.why
    failed = [each for each in read_run(tmp_path).trajectories if each.status == "failed"]
    assert len(failed) < 40


class Forgetful(CountGame):
    """A game whose state, seen from outside, is never the same twice."""

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed, options=options)
        return observation, {**info, "state": os.urandom(4).hex()}


class Unrepeatable(Count):
    hosting = Hosting("inline", replayable=True)

    def make(self):
        return Forgetful()


def test_a_rebuilt_episode_that_differs_is_made_from_the_start_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(dispatch, "BLAME_AFTER", 50)  # these deaths are no attempt's fault
    spec = EnvSpec("count", f"{__name__}:Unrepeatable", {"length": LENGTH})
    rng, policy = random.Random(3), Counting()
    counts = drive(tmp_path, [Mortal(policy, spec, death=lambda: rng.random() < 0.1)])
    assert_all_won(tmp_path)
    assert counts.mismatches > 0 and counts.replayed_turns == 0
    assert "replay_mismatch" in (tmp_path / "log.jsonl").read_text()


def test_a_worker_that_dies_at_once_ends_the_run_with_its_reason(tmp_path):
    with pytest.raises(ResourceError, match="in a row") as caught:
        drive(tmp_path, [Mortal(Counting(), death=lambda: True)])
    assert "SIGKILL" in caught.value.why


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    wall, jumps = time.time, itertools.cycle([0, 86_400, -86_400, 4e9, -1.7e9])
    monkeypatch.setattr(time, "time", lambda: wall() + next(jumps))
    policy, calls = Counting(), itertools.cycle([False] * 5 + [True])
    counts = drive(tmp_path, [Mortal(policy, death=lambda: next(calls)) for _ in range(2)])
    monkeypatch.undo()
    assert_all_won(tmp_path)
    assert counts.mismatches == 0 and counts.late_results == 0
    assert all(0 <= each.duration_s < 60 for each in read_run(tmp_path).trajectories)


def test_a_wrong_key_ends_the_run_at_the_first_call(tmp_path):
    def refuse():
        raise PolicyError("the endpoint refuses the API key", "status 401", "set it")

    policy = Counting(refuse)
    with pytest.raises(PolicyError, match="API key"):
        drive(tmp_path, [Mortal(policy)], in_flight=4)
    assert sum(policy.asked.values()) <= 4


def test_a_context_that_fits_no_prompt_ends_the_run(tmp_path):
    def refuse():
        raise ContextLimitError("900 tokens", "128 fit", "raise it")

    with pytest.raises(PolicyError, match="900 tokens"):
        drive(tmp_path, [Mortal(Counting(refuse))])


def test_an_endpoint_that_fails_now_and_then_fails_no_attempt(tmp_path):
    rng = random.Random(0)

    def stumble():
        if rng.random() < 0.1:
            raise UnavailableError("status 500", "it stumbled", "ask again")

    policy = Counting(stumble)
    counts = drive(tmp_path, [Mortal(policy)])
    assert_all_won(tmp_path)
    assert counts.endpoint_totals()["one"]["retries"] > 0


def test_a_full_disk_makes_the_run_wait_and_then_go_on(tmp_path, monkeypatch):
    real, full = os.fdatasync, iter([True, True, False, True, True])

    def sync(file):
        if next(full, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fdatasync", sync)
    policy = Counting()
    drive(tmp_path, [Mortal(policy)])
    assert_all_won(tmp_path)
    assert set(policy.asked.values()) == {1}


def test_a_disk_that_stays_full_ends_the_run_and_loses_nothing(tmp_path, monkeypatch):
    drive(tmp_path, [Mortal(Counting())], number=10)

    def sync(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", sync)
    with pytest.raises(ResourceError, match="cannot be written") as caught:
        drive(tmp_path, [Mortal(Counting())])
    assert "No space left" in caught.value.why
    monkeypatch.undo()
    assert_all_won(tmp_path, 10)
    drive(tmp_path, [Mortal(Counting())])
    assert_all_won(tmp_path)


class Stale(Mortal):
    """Hands everything out once more, under the lease before."""

    async def exchange(self, assignments, acknowledged):
        update = await super().exchange(assignments, acknowledged)
        late = [result._replace(lease=result.lease - 1, reward=0.0) for result in update.results]
        old = [entry._replace(lease=entry.lease - 1) for entry in update.entries]
        return update._replace(entries=[*old, *update.entries], results=[*late, *update.results])


def test_results_of_an_older_lease_are_dropped_and_counted(tmp_path):
    counts = drive(tmp_path, [Stale(Counting())])
    assert_all_won(tmp_path)
    assert counts.late_results == 40 * (LENGTH + 2)
