"""The router over endpoints that fail in every way."""

import asyncio
import pickle
from collections import Counter
from types import SimpleNamespace

import pytest

from agentray.errors import OverloadedError, PolicyError, UnavailableError
from agentray.policy import backoff
from agentray.policy import router as module
from agentray.policy.router import EndpointStats, Router
from agentray.types import Message, Reply, Sampling

GREEDY = Sampling()
BUSY = OverloadedError("too much", "status 429", "wait")
DOWN = UnavailableError("down", "status 502", "start it")
REFUSED = PolicyError("no such model", "status 404", "name another")


def talk(name="a", turns=0):
    """A conversation about `name` in which the policy has replied `turns` times."""
    said = (Message("assistant", "Ok.", loss=True), Message("user", "More."))
    return (Message("system", "Play."), Message("assistant", "Ok."), Message("user", name), *said * turns)


class Endpoint:
    """Gives `answers` in turn, then replies; an endless one is an answer of None."""

    def __init__(self, *answers, ready=None):
        self.answers, self.ready_error = list(answers), ready
        self.seen, self.now, self.most, self.closed = [], 0, 0, False

    async def ready(self):
        if self.ready_error:
            raise self.ready_error

    async def act(self, messages, sampling, info):
        self.seen.append(messages)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            answer = self.answers.pop(0) if self.answers else "fine"
            if isinstance(answer, BaseException):
                raise answer
            if answer is None:
                await asyncio.get_running_loop().create_future()
            if isinstance(answer, asyncio.Event):
                await answer.wait()
            return Reply("fine")
        finally:
            self.now -= 1

    async def close(self):
        self.closed = True


def routed(endpoints, in_flight=64, **settings):
    return Router(endpoints, in_flight=in_flight, **{"request_timeout_s": 60.0, **settings})


async def settle(turns=20):
    for _ in range(turns):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(module, "pause_s", lambda failures: 0.0)


def test_a_refusal_for_now_is_retried_and_counted():
    policy = routed({"a": Endpoint(BUSY, DOWN, ConnectionResetError("gone"))})
    assert asyncio.run(policy.act(talk(), GREEDY, {})).text == "fine"
    assert policy.stats() == (EndpointStats("a", 0, 16, calls=4, retries=3, overloads=1, failures=2),)
    assert pickle.loads(pickle.dumps(policy.stats())) == policy.stats()


def test_pauses_grow_to_a_limit_and_differ(monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    assert [backoff.pause_s(failures) / 1.5 for failures in range(1, 8)] == [0.25, 0.5, 1, 2, 4, 8, 8]
    monkeypatch.undo()
    assert len({backoff.pause_s(1) for _ in range(20)}) > 1


def test_tries_end(monkeypatch):
    failures = []
    monkeypatch.setattr(module, "pause_s", lambda number: failures.append(number) or 0.0)
    endpoint = Endpoint(*[DOWN] * 20)
    with pytest.raises(UnavailableError, match="b does not answer") as caught:
        asyncio.run(routed({"b": endpoint}).act(talk(), GREEDY, {}))
    assert "7 tries" in caught.value.why and "down: status 502" in caught.value.why
    assert caught.value.__cause__ is DOWN
    assert len(endpoint.seen) == 7
    assert failures == [1, 2, 3, 4, 5, 6]


def test_a_refusal_for_good_is_not_retried():
    policy = routed({"a": Endpoint(REFUSED), "b": Endpoint(REFUSED)})
    with pytest.raises(PolicyError, match="no such model"):
        asyncio.run(policy.act(talk(), GREEDY, {}))
    assert sum(each.calls for each in policy.stats()) == 1
    assert sum(each.in_flight for each in policy.stats()) == 0


def test_no_answer_in_time_is_an_overload():
    policy = routed({"a": Endpoint(None, None)}, request_timeout_s=0.01)
    assert asyncio.run(policy.act(talk(), GREEDY, {})).text == "fine"
    assert policy.stats()[0].overloads == 2


def test_another_endpoint_takes_over_when_one_dies():
    endpoints = {name: Endpoint() for name in "ab"}
    policy = routed(endpoints)

    async def play():
        await policy.act(talk(), GREEDY, {})
        first = "a" if endpoints["a"].seen else "b"
        endpoints[first].answers = [ConnectionRefusedError("dead")] * 1000
        for number in range(100):
            await policy.act(talk(str(number)), GREEDY, {})
        return first

    dead = asyncio.run(play())
    stats = {each.name: each for each in policy.stats()}
    alive = stats["ab".replace(dead, "")]
    assert stats[dead].failures == module._BREAK_AFTER  # then it rests, and nobody asks it
    assert alive.retries == module._BREAK_AFTER and alive.failures == 0


def test_one_prompt_stays_at_one_endpoint_and_prompts_spread():
    endpoints = {name: Endpoint() for name in "abc"}
    policy = routed(endpoints)

    async def play():
        for number in range(60):
            for turns in range(3):
                await policy.act(talk(str(number), turns), GREEDY, {})

    asyncio.run(play())
    places = {}
    for name, endpoint in endpoints.items():
        for messages in endpoint.seen:
            places.setdefault(messages[2].content, set()).add(name)
    assert all(len(names) == 1 for names in places.values())
    spread = Counter(name for names in places.values() for name in names)
    assert min(spread[name] for name in "abc") >= 10


def test_the_choice_is_the_same_in_every_process():
    endpoints = {name: Endpoint() for name in "ab"}
    policy = routed(endpoints)

    async def play():
        for number in range(8):
            await policy.act(talk(str(number)), GREEDY, {})

    asyncio.run(play())
    assert [messages[2].content for messages in endpoints["a"].seen] == ["2", "3", "4", "5", "6", "7"]


def test_a_crowded_endpoint_is_passed_over():
    endpoints = {name: Endpoint(*[None] * 100) for name in "abc"}
    policy = routed(endpoints, adaptive=False)

    async def play():
        tasks = [asyncio.create_task(policy.act(talk(), GREEDY, {})) for _ in range(60)]
        await settle()
        loads = [each.in_flight for each in policy.stats()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return loads

    loads = asyncio.run(play())
    assert sum(loads) == 60 and max(loads) <= 1.25 * 20 + 2
    assert max(loads) > min(loads)
    assert [each.in_flight for each in policy.stats()] == [0, 0, 0]


def test_a_cancelled_request_gives_its_slot_back():
    endpoint = Endpoint(None, None)
    policy = routed({"a": endpoint}, in_flight=1)

    async def play():
        running, waiting = (asyncio.create_task(policy.act(talk(), GREEDY, {})) for _ in range(2))
        await settle()
        assert policy.stats()[0].in_flight == 1
        waiting.cancel()
        running.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        endpoint.answers.clear()
        assert policy.stats()[0].in_flight == 0
        return await asyncio.wait_for(policy.act(talk(), GREEDY, {}), 5)

    assert asyncio.run(play()).text == "fine"


def test_a_pause_before_a_retry_holds_no_slot(monkeypatch):
    policy = routed({"a": Endpoint(BUSY)}, in_flight=1)

    async def play():
        go_on = asyncio.Event()
        monkeypatch.setattr(module, "_pause", lambda *_: go_on.wait())
        first = asyncio.create_task(policy.act(talk(), GREEDY, {}))
        await settle()
        await asyncio.wait_for(policy.act(talk(), GREEDY, {}), 5)
        assert not first.done()
        go_on.set()
        await first

    asyncio.run(play())


def test_the_limit_is_kept_and_a_fixed_one_is_all():
    for adaptive, limit in ((True, 16), (False, 20)):
        endpoint = Endpoint(*[None] * 100)
        policy = routed({"a": endpoint}, in_flight=20, adaptive=adaptive)

        async def play(policy):
            tasks = [asyncio.create_task(policy.act(talk(), GREEDY, {})) for _ in range(30)]
            await settle()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(play(policy))
        assert endpoint.most == limit == policy.stats()[0].limit


def test_a_dead_endpoint_is_tried_by_one_request_at_a_time_until_it_works(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(module, "_BREAK_AFTER", 2)

    async def play():
        works = asyncio.Event()
        endpoint = Endpoint(DOWN, DOWN, works)
        policy = routed({"a": endpoint})
        tasks = [asyncio.create_task(policy.act(talk(), GREEDY, {}))]
        await settle()
        tasks += [asyncio.create_task(policy.act(talk(), GREEDY, {})) for _ in range(5)]
        await settle()
        assert len(endpoint.seen) == 2  # it rests
        now[0] += module._FIRST_REST_S
        tasks += [asyncio.create_task(policy.act(talk(), GREEDY, {})) for _ in range(5)]
        await settle()
        assert len(endpoint.seen) == 3  # one finds out
        works.set()
        await asyncio.gather(*tasks)
        assert len(endpoint.seen) == 2 + 11

    asyncio.run(play())


def test_requests_that_wait_for_a_slot_are_spared_when_the_endpoint_breaks(monkeypatch):
    monkeypatch.setattr(module, "_BREAK_AFTER", 1)
    endpoint = Endpoint(DOWN)
    policy = routed({"a": endpoint}, in_flight=1)

    async def play():
        tasks = [asyncio.create_task(policy.act(talk(), GREEDY, {})) for _ in range(5)]
        await settle()
        assert len(endpoint.seen) == 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(play())
    assert policy.stats()[0].in_flight == 0


def test_an_endpoint_that_stays_dead_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "_BREAK_AFTER", 1)
    monkeypatch.setattr(module, "_FIRST_REST_S", 0.001)
    monkeypatch.setattr(module, "_LONGEST_REST_S", 0.002)
    policy = routed({"a": Endpoint(*[DOWN] * 1000)}, in_flight=4)

    async def play():
        return await asyncio.gather(
            *(policy.act(talk(), GREEDY, {}) for _ in range(10)), return_exceptions=True
        )

    results = asyncio.run(play())
    assert all(isinstance(each, UnavailableError) and "a does not answer" in each.what for each in results)


def test_an_endpoint_that_says_when_to_ask_again_is_left_alone():
    later = OverloadedError("too much", "status 429", "wait")
    later.retry_after_s = 1000.0
    policy = routed({"a": Endpoint(later), "b": Endpoint()})

    async def play():
        for number in range(20):
            await policy.act(talk(str(number)), GREEDY, {})

    asyncio.run(play())
    assert [(each.calls, each.overloads) for each in policy.stats()] == [(1, 1), (20, 0)]


def test_ready_waits_for_all_and_needs_one(caplog):
    policy = routed({"a": Endpoint(ready=DOWN), "b": Endpoint(), "c": Endpoint(ready=OSError("no route"))})

    async def play():
        await policy.ready()
        for number in range(20):
            await policy.act(talk(str(number)), GREEDY, {})

    asyncio.run(play())
    assert [each.calls for each in policy.stats()] == [0, 20, 0]
    assert "a rests" in caplog.text and "c rests" in caplog.text


@pytest.mark.parametrize(
    ("errors", "kind", "what"),
    [
        ((DOWN, DOWN), UnavailableError, "down"),
        ((DOWN, REFUSED), PolicyError, "no such model"),
        ((REFUSED, None), PolicyError, "no such"),
    ],
)
def test_ready_is_refused_for_good_or_by_all(errors, kind, what):
    policy = routed({str(number): Endpoint(ready=error) for number, error in enumerate(errors)})
    with pytest.raises(kind, match=what):
        asyncio.run(policy.ready())


def test_close_closes_all():
    endpoints = {"a": Endpoint(), "b": Endpoint()}
    asyncio.run(routed(endpoints).close())
    assert endpoints["a"].closed and endpoints["b"].closed
