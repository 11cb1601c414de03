import asyncio

import pytest

from agentray.errors import OverloadedError, UnavailableError, UsageError
from agentray.rollout.chaos import Chaos, parse
from agentray.types import Message, Reply, Sampling


class Calm:
    def __init__(self):
        self.asked = self.killed = 0

    async def ready(self):
        pass

    async def act(self, messages, sampling, info):
        self.asked += 1
        return Reply("fine")

    async def close(self):
        pass

    def kill(self):
        self.killed += 1


def act(policy):
    return asyncio.run(policy.act([Message("user", "hi")], Sampling(), {}))


def test_rates_are_read_and_checked():
    assert parse("kill-actor=0.05, http-500=0.1") == {"kill-actor": 0.05, "http-500": 0.1}
    with pytest.raises(UsageError, match="cannot read --chaos"):
        parse("http-500")
    with pytest.raises(UsageError, match="unknown kind") as caught:
        Chaos({"http-501": 0.1})
    assert "did you mean 'http-50" in caught.value.why
    with pytest.raises(UsageError, match="http-500=2"):
        Chaos({"http-500": 2})


@pytest.mark.parametrize(
    ("kind", "error", "asked"),
    [
        ("http-429", OverloadedError, 0),
        ("timeout", OverloadedError, 0),
        ("http-500", UnavailableError, 0),
        ("garbage", UnavailableError, 0),
        ("truncated", UnavailableError, 1),
    ],
)
def test_each_kind_fails_as_the_real_thing_does(kind, error, asked):
    calm = Calm()
    with pytest.raises(error, match="chaos"):
        act(Chaos({kind: 1.0}).policy(calm))
    assert calm.asked == asked


def test_an_engine_is_killed_and_asked_all_the_same():
    calm = Calm()
    assert act(Chaos({"kill-engine": 1.0}).policy(calm)).text == "fine"
    assert (calm.killed, calm.asked) == (1, 1)


def test_without_rates_nothing_is_between_the_worker_and_its_policy():
    calm = Calm()
    assert Chaos({}).policy(calm) is calm
