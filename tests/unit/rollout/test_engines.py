"""Engines that runs of one process share; here their actors are names, and there is no Ray."""

import asyncio
import threading

import pytest

from agentray.rollout import engines, pool
from agentray.rollout.engines import Engines
from agentray.types import PolicySpec

MODEL = PolicySpec("model", "unused:unused", {"model": "one"}, shared="run", replicas=({}, {}))
OTHER = PolicySpec("model", "unused:unused", {"model": "two"}, shared="run")


@pytest.fixture
def events(monkeypatch):
    """What happened to actors, which are numbers."""
    found = []

    def started(policy, in_flight):
        actors = [f"{policy.kwargs['model']}/{number}" for number in range(len(policy.replicas))]
        found.extend(f"+{each}" for each in actors)
        return actors

    async def end_actors(actors):
        found.extend(f"-{each}" for each in actors)

    monkeypatch.setattr(engines, "_started", started)
    monkeypatch.setattr(engines, "end_actors", end_actors)
    return found


async def use(shared, policy=MODEL, inside=lambda: None):
    async with shared.of(policy, 4) as endpoints:
        inside()
        return list(endpoints)


def test_an_engine_ends_with_the_run_that_made_it(events):
    shared = Engines()
    assert asyncio.run(use(shared)) == ["engine 0", "engine 1"]
    asyncio.run(use(shared))
    assert events == ["+one/0", "+one/1", "-one/0", "-one/1"] * 2


def test_runs_in_a_block_share_equal_engines_which_end_with_the_outermost_one(events):
    shared = Engines()
    with shared.kept():
        with shared.kept():
            asyncio.run(use(shared))
            asyncio.run(use(shared, OTHER))
        asyncio.run(use(shared))
        assert events == ["+one/0", "+one/1", "+two/0"]
    assert events[3:] == ["-one/0", "-one/1", "-two/0"]


def test_runs_that_begin_at_once_in_several_threads_make_one_engine(events):
    shared, all_inside = Engines(), threading.Barrier(8)
    threads = [
        threading.Thread(target=lambda: asyncio.run(use(shared, OTHER, lambda: all_inside.wait(60))))
        for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert events == ["+two/0", "-two/0"]


def test_a_run_that_fails_releases_its_engine(events):
    def fails():
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        asyncio.run(use(Engines(), OTHER, fails))
    assert events == ["+two/0", "-two/0"]


def test_a_policy_that_each_worker_builds_has_no_engine(events):
    assert asyncio.run(use(Engines(), PolicySpec("endpoint", "unused:unused"))) == []
    assert events == []


@pytest.mark.parametrize(
    ("cpus", "nodes", "here", "in_flight", "workers"),
    [
        (4, 1, 2, 64, 2),  # a local Ray counts more CPUs than there are
        (96, 3, 2, 4096, 96),  # the cluster's, not the driver's
        (96, 3, 2, 64, 8),
        (96, 3, 2, 1, 1),
        (0, 2, 2, 64, 1),
    ],
)
def test_the_number_of_workers_follows_the_cluster(monkeypatch, cpus, nodes, here, in_flight, workers):
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": float(cpus)})
    monkeypatch.setattr("ray.nodes", lambda: [{}] * nodes)
    monkeypatch.setattr("os.cpu_count", lambda: here)
    assert pool.default_num_workers(in_flight) == workers
