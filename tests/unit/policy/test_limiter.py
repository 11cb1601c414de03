"""The limiter against a simulated server, in simulated time."""

import asyncio
import heapq
import itertools
import random

import pytest

from agentray.policy.limiter import Limiter


class Simulation:
    """A server that works on 100 requests at once, and callers that always have another one.

    Beyond 100 in flight every request takes longer; beyond `accepts` it is refused at once.
    """

    def __init__(self, *, most=1000, accepts=10**6, noise=0.0, capacity=100):
        self.now = 0.0
        self.accepts, self.noise, self.capacity = accepts, noise, capacity
        self.limiter = Limiter(most, clock=lambda: self.now)
        self.done = self.refused = self.serving = 0
        self._random = random.Random(0)
        self._events = []
        self._order = itertools.count()

    async def _sleep(self, seconds):
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._events, (self.now + seconds, next(self._order), waiter))
        await waiter

    async def _call_for_ever(self):
        while True:
            await self.limiter.acquire()
            started = self.now
            refused = self.serving >= self.accepts
            if refused:
                await self._sleep(0.01)
            else:
                self.serving += 1
                latency_s = max(1.0, self.serving / self.capacity)
                await self._sleep(latency_s * self._random.lognormvariate(-(self.noise**2) / 2, self.noise))
                self.serving -= 1
            self.done += not refused
            self.refused += refused
            self.limiter.release(self.now - started, overloaded=refused)
            if refused:
                await self._sleep(0.5)

    def run(self, *phases, callers=600):
        """Run for each phase's seconds, and call what stands after it; returns replies/s of each phase."""

        async def play():
            tasks = [asyncio.create_task(self._call_for_ever()) for _ in range(callers)]
            rates = []
            for seconds, then in phases:
                until, before, start = self.now + seconds, self.done, self.now
                while self.now < until:
                    for _ in range(4):
                        await asyncio.sleep(0)
                    self.now, _, waiter = heapq.heappop(self._events)
                    waiter.set_result(None)
                rates.append((self.done - before) / (self.now - start))
                then()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return rates

        return asyncio.run(play())


def nothing():
    pass


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_limit_finds_the_capacity_and_does_not_run_away(noise):
    server = Simulation(noise=noise)
    limits = []
    rates = server.run((40, nothing), *[(10, lambda: limits.append(server.limiter.limit))] * 8)
    assert min(rates[1:]) >= 90
    assert max(limits) <= 400


def test_the_limit_does_not_grow_without_demand():
    server = Simulation()
    server.run((30, nothing), callers=12)
    assert server.limiter.limit == 16


def test_the_limit_grows_to_the_most_where_that_helps():
    server = Simulation(most=200, capacity=10_000)
    server.run((20, nothing))
    assert server.limiter.limit == 200


def test_frequent_refusals_shrink_the_limit_and_it_recovers_afterwards():
    server = Simulation(capacity=300)
    limits = []

    def refuse(accepts):
        limits.append(server.limiter.limit)
        server.accepts = accepts

    rates = server.run((30, lambda: refuse(20)), (40, lambda: refuse(10**6)), (120, lambda: refuse(0)))
    assert limits[0] > 200
    assert limits[1] < 60 and rates[1] > 10
    assert limits[2] > 2 * limits[1]


def test_a_rare_refusal_is_no_reason_to_shrink():
    limiter = Limiter(100, 50)

    async def play():
        for number in range(2000):
            await limiter.acquire()
            limiter.release(0.0, overloaded=number % 20 == 0)

    asyncio.run(play())
    assert limiter.limit >= 50


def test_refusals_shrink_once_per_round_trip_and_never_below_one():
    now = [0.0]
    limiter = Limiter(1000, 100, lambda: now[0])

    async def refuse(times, latency_s):
        for _ in range(times):
            await limiter.acquire()
            limiter.release(latency_s, overloaded=True)

    now[0] = 10.0
    asyncio.run(refuse(200, 1.0))
    assert limiter.limit == 70
    for _ in range(40):
        now[0] += 2.0
        asyncio.run(refuse(50, 1.0))
    assert limiter.limit == 1


def test_a_fixed_limiter_stays():
    limiter = Limiter(8, 8, adaptive=False)

    async def play():
        for _ in range(500):
            await limiter.acquire()
            limiter.release(1.0, overloaded=True)

    asyncio.run(play())
    assert (limiter.limit, limiter.in_flight) == (8, 0)


def test_the_start_is_capped():
    assert Limiter(3).limit == 3


async def turns(number=3):
    for _ in range(number):
        await asyncio.sleep(0)


def test_waiters_come_in_order_and_a_cancelled_one_leaks_nothing():
    async def play():
        limiter = Limiter(1)
        order = []

        async def use(name):
            await limiter.acquire()
            order.append(name)

        await limiter.acquire()
        tasks = [asyncio.create_task(use(name)) for name in "abc"]
        await turns()
        tasks[0].cancel()
        await turns()
        limiter.release(None, overloaded=False)
        await turns()
        assert order == ["b"] and limiter.in_flight == 1
        limiter.release(None, overloaded=False)  # "c" has the slot now, but does not know yet
        tasks[2].cancel()
        await turns()
        assert order == ["b"] and limiter.in_flight == 0
        await asyncio.wait_for(limiter.acquire(), 1)

    asyncio.run(play())


def test_a_slot_of_a_cancelled_caller_goes_to_the_next():
    async def play():
        limiter = Limiter(1)
        await limiter.acquire()
        first, second = asyncio.create_task(limiter.acquire()), asyncio.create_task(limiter.acquire())
        await turns()
        limiter.release(None, overloaded=False)
        first.cancel()
        await asyncio.wait_for(second, 1)
        assert limiter.in_flight == 1

    asyncio.run(play())


def test_nobody_enters_while_more_are_in_flight_than_the_limit():
    now = [0.0]

    async def play():
        limiter = Limiter(100, 20, lambda: now[0])
        for _ in range(20):
            await limiter.acquire()
        now[0] = 10.0
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(30)]
        await turns()
        for _ in range(20):
            limiter.release(1.0, overloaded=True)
        await turns()
        assert limiter.limit == 14
        assert limiter.in_flight == 14
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert limiter.in_flight == 14  # those let in never released

    asyncio.run(play())
