import asyncio
import sys
import threading
from pathlib import Path

import pytest

from agentray.config import EngineConfig
from agentray.env import Hosting
from agentray.env.count import Count, CountGame
from agentray.errors import ResourceError
from agentray.policy import resolve_policy
from agentray.rollout.chaos import Chaos
from agentray.rollout.protocol import Assignment, Limits
from agentray.rollout.worker import LocalWorker, RolloutWorker
from agentray.types import Attempt, EnvSpec, Sampling

TASK = next(Count().tasks("train"))
EXPERT = resolve_policy("expert", engine=EngineConfig())


RELEASE = threading.Event()


class FaultyGame(CountGame):
    """Hangs, or raises what no handler of `Exception` sees."""

    def __init__(self, fault):
        super().__init__()
        self._fault = fault

    def step(self, action):
        match self._fault:
            case "panic":
                raise BaseException("a panic of native code")
            case "cancel":
                raise asyncio.CancelledError
            case "hang":
                RELEASE.wait()
        return super().step(action)


class Faulty(Count):
    """The counting game; where `fault` says, something raises."""

    def __init__(self, fault):
        super().__init__()
        self._fault = fault
        self.hosting = Hosting("thread" if fault == "hang" else "inline")

    def make(self):
        return FaultyGame(self._fault)

    def expert(self, task):
        match self._fault:
            case "no expert":
                raise NotImplementedError("no expert for this record: caf\udce9")
            case "exit":
                sys.exit("out of credit")
        return super().expert(task)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[3])])  # for this module's name
    RELEASE.clear()
    yield
    RELEASE.set()


def worker_of(fault, kind=RolloutWorker, timeout_s=60.0):
    spec = EnvSpec("count", f"{__name__}:Faulty", {"fault": fault})
    return kind([spec], EXPERT, {}, Sampling(), Limits(5.0, timeout_s, 4), Chaos({}))


ASSIGNMENT = Assignment(Attempt(TASK, 0, 5, "expert"), 3)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("panic", "BaseException: a panic of native code"),
        ("cancel", "CancelledError: "),
        ("no expert", "NotImplementedError: no expert for this record: caf?"),
        ("exit", "SystemExit: out of credit"),
    ],
)
def test_whatever_goes_wrong_is_an_outcome(fault, error):
    async def scenario():
        worker = worker_of(fault)
        await worker.ready()
        assignments, results = [ASSIGNMENT], []
        async with asyncio.timeout(60):
            while not results:
                results, assignments = (await worker.exchange(assignments, 0)).results, []
        await worker.close()
        return results

    [result] = asyncio.run(scenario())
    assert (result.key, result.lease, result.status) == (ASSIGNMENT.attempt.key, 3, "failed")
    assert (result.error, result.reward, result.fault) == (error, None, "environment")


def test_a_worker_that_closes_ends_what_it_plays(monkeypatch):
    async def waits(self, messages, sampling, info):
        await asyncio.sleep(3600)

    monkeypatch.setattr("agentray.policy.scripted.ExpertPolicy.act", waits)

    async def scenario():
        worker = worker_of(None)
        assert [each.kind for each in (await worker.exchange([ASSIGNMENT], 0)).entries] == ["begin"]
        await worker.close()
        return (await worker.exchange([], 1)).results

    assert asyncio.run(scenario()) == []


def test_a_worker_that_cannot_be_replaced_ends_the_run_when_too_many_calls_hang(monkeypatch):
    monkeypatch.setattr("agentray.rollout.worker.MOST_STUCK", 1)

    async def scenario():
        worker = worker_of("hang", LocalWorker, timeout_s=0.01)
        assignments, results = [ASSIGNMENT], []
        try:
            async with asyncio.timeout(60):
                while True:
                    results, assignments = [*results, *(await worker.exchange(assignments, 0)).results], []
        except ResourceError as error:
            return results, error
        finally:
            await worker.close()

    [result], error = asyncio.run(scenario())
    assert "longer than 0.01 s" in result.error
    assert "hang in their threads" in error.what and "num_workers=1" in error.fix
