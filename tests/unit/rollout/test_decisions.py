"""What becomes of attempts that the policy or their own environment fails."""

import asyncio
import itertools
import random
from contextlib import closing

import pytest

from agentray.data.store import RunStore, read_run
from agentray.env.count import Count
from agentray.errors import PolicyError, PromptError, ReplyError, ResourceError, UnavailableError
from agentray.policy import router
from agentray.rollout.chaos import Chaos
from agentray.rollout.counts import RunCounts
from agentray.rollout.dispatch import Dispatcher
from agentray.rollout.leases import Rules
from agentray.rollout.protocol import Limits, WorkerDied
from agentray.rollout.worker import RolloutWorker
from agentray.types import Attempt, EnvSpec, PolicySpec, Reply, Sampling, silent

SPEC = EnvSpec("count", "agentray.env.count:Count", {"length": 2})
KEY = PolicyError("the endpoint refuses the API key", "status 401", "set it")
FILTER = PromptError("the endpoint filters the prompt", "status 400", "leave it out")
DOWN = UnavailableError("connection refused", "nobody listens", "start it")
NOTHING = ReplyError("no content", "null", "ask again")


class Counting:
    """Says the next number, unless `wrong` of the call's number and its task's place gives an error."""

    def __init__(self, wrong):
        self._wrong, self._calls = wrong, itertools.count(1)
        self.places = {}

    async def ready(self):
        pass

    async def act(self, messages, sampling, info):
        place = self.places.setdefault(messages[2].content, len(self.places))
        error = self._wrong(next(self._calls), place)
        if error:
            raise error
        await asyncio.sleep(0.01)
        return Reply(f"Action: {int(messages[-1].content.rsplit(' ', 1)[-1]) + 1}", finish_reason="stop")

    async def close(self):
        pass


class Worker:
    """A rollout worker that dies of some tasks."""

    def __init__(self, policy, deadly=(), late=False):
        self._policy, self._deadly, self.deaths = policy, deadly, 0
        self._late, self._doomed = late, False

    async def ready(self):
        limits = Limits(5.0, 30.0, 64)
        spec = PolicySpec("counting", "unused:unused")
        self._inner = RolloutWorker([SPEC], spec, {"one": self._policy}, Sampling(), limits, Chaos({}))
        return await self._inner.ready()

    async def exchange(self, assignments, acknowledged):
        doomed = any(assignment.attempt.seed in self._deadly for assignment in assignments)
        if self._doomed or (doomed and not self._late):
            self.deaths, self._doomed = self.deaths + 1, False
            await self._inner.close()
            raise WorkerDied("SIGSEGV")
        self._doomed = doomed
        return await self._inner.exchange(assignments, acknowledged)


def drive(tmp_path, worker, *, number=20, retries=2, in_flight=8, resumable=True):
    with RunStore(tmp_path) as store:
        tasks = itertools.islice(Count(length=2).tasks("train"), number)
        made = [Attempt(task, 0, seed, "counting") for seed, task in enumerate(tasks)]
        left = [each for each in made if each.key not in store.finished]
        counts = RunCounts(number, {"count": 1.0}, silent, tmp_path / "log.jsonl")
        with closing(counts):
            rules = Rules(in_flight, retries, frozenset(["count"] if resumable else []))
            asyncio.run(Dispatcher(iter(left), store, rules, counts).run([worker]))
    return counts


def statuses(tmp_path):
    return sorted(each.status for each in read_run(tmp_path).trajectories)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(router, "pause_s", lambda failures: 0.001)
    for rest in ("_FIRST_REST_S", "_LONGEST_REST_S"):
        monkeypatch.setattr(router, rest, 0.001)
    monkeypatch.setattr("agentray.rollout.worker.HEARTBEAT_S", 0.02)


@pytest.mark.parametrize("after", [0, 7, 25])
@pytest.mark.parametrize("error", [KEY, DOWN])
def test_what_will_not_pass_stops_the_run_and_loses_nothing(tmp_path, after, error):
    with pytest.raises((PolicyError, UnavailableError)):
        drive(tmp_path, Worker(Counting(lambda call, place: error if call > after else None)))
    with RunStore(tmp_path) as store:
        assert set(store.finished.values()) <= {"completed"}
    drive(tmp_path, Worker(Counting(lambda call, place: None)))
    assert statuses(tmp_path) == ["completed"] * 20


@pytest.mark.parametrize("bad", [{0}, {0, 1, 2}, {19}])
def test_a_filtered_prompt_fails_alone_even_where_it_is_the_first_answer(tmp_path, bad):
    policy = Counting(lambda call, place: FILTER if place in bad else None)
    counts = drive(tmp_path, Worker(policy))
    assert counts.statuses == {"failed": len(bad), "completed": 20 - len(bad)}
    assert counts.retries == 0


@pytest.mark.parametrize("number", [3, 200])
def test_a_policy_that_refuses_every_prompt_ends_the_run_and_writes_nothing_off(tmp_path, number):
    policy = Counting(lambda call, place: FILTER)
    with pytest.raises(PolicyError, match="filters the prompt"):
        drive(tmp_path, Worker(policy), number=number)
    with RunStore(tmp_path) as store:
        assert not store.finished
    assert len(policy.places) <= 24


def test_a_filtered_prompt_that_alone_is_left_is_written_off(tmp_path):
    drive(tmp_path, Worker(Counting(lambda call, place: None)), number=19)
    drive(tmp_path, Worker(Counting(lambda call, place: FILTER)))
    assert statuses(tmp_path) == ["completed"] * 19 + ["failed"]


def test_a_reply_that_is_none_is_asked_again_and_then_fails_its_attempt(tmp_path):
    policy = Counting(lambda call, place: NOTHING if place == 3 else None)
    counts = drive(tmp_path, Worker(policy))
    assert counts.statuses == {"failed": 1, "completed": 19}
    assert counts.retries == 2


def test_one_attempt_that_brings_the_endpoint_down_is_written_off_in_the_end(tmp_path):
    policy = Counting(lambda call, place: DOWN if place == 19 else None)
    counts = drive(tmp_path, Worker(policy))
    assert counts.statuses == {"failed": 1, "completed": 19}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("late", "resumable"), [(False, True), (True, False)])
def test_an_attempt_that_kills_its_worker_costs_itself_alone_and_is_named(tmp_path, seed, late, resumable):
    deadly = set(random.Random(seed).sample(range(20), 3))
    worker = Worker(Counting(lambda call, place: None), deadly, late)
    counts = drive(tmp_path, worker, retries=0, resumable=resumable)
    assert counts.statuses == {"failed": 3, "completed": 17}
    failed = [each for each in read_run(tmp_path).trajectories if each.status == "failed"]
    assert {each.seed for each in failed} == deadly
    assert all("'count'" in each.error and '"process"' in each.error for each in failed)


def test_an_environment_that_always_kills_its_worker_ends_the_run(tmp_path):
    worker = Worker(Counting(lambda call, place: None), range(20))
    with pytest.raises(ResourceError, match="'count'") as caught:
        drive(tmp_path, worker)
    assert "process" in caught.value.fix and worker.deaths < 40
