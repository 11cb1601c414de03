"""Rollout workers as Ray actors, on whatever nodes the cluster has."""

from __future__ import annotations

import asyncio
import glob
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from agentray.errors import ResourceError
from agentray.rollout.chaos import Chaos
from agentray.rollout.engines import ENGINES, death_of, end_actors, unwrapped
from agentray.rollout.protocol import Assignment, Limits, Update, WorkerDied, WorkerInfo
from agentray.rollout.worker import MOST_STUCK, RolloutWorker
from agentray.types import EnvSpec, PolicySpec, Sampling

_EPISODES = 8
"""Fewest episodes at once for which another worker is worth its start."""
_WORKER_CPUS = 0.25
"""Logical CPUs a worker reserves: it waits for replies most of the time."""
_GATHER_S = 0.002
"""An exchange costs about as much: what happens within this time travels in one."""
_ANSWER_TIMEOUT_S = 60.0
"""A worker answers every second unless something blocks its event loop."""
_LOG_LINES = 5


class ActorWorker:
    """A rollout worker in an actor, and its successors; a `protocol.Worker`.

    Args:
        make: Starts the actor.
        start_timeout_s: Longest wait until it can play.
    """

    def __init__(self, make: Callable[[], Any], start_timeout_s: float) -> None:
        self._make, self._start_timeout_s = make, start_timeout_s
        self._actor: Any | None = make()
        self._info: WorkerInfo | None = None
        self._stuck = 0

    async def ready(self) -> WorkerInfo:
        """Wait until it can play; starts a successor where the last one died."""
        if self._actor is None:
            self._actor, self._stuck = self._make(), 0
        try:
            async with asyncio.timeout(self._start_timeout_s):
                self._info = await self._actor.ready.remote()
        except TimeoutError as error:
            raise ResourceError(
                f"a rollout worker was not ready within {self._start_timeout_s:g} s",
                f"the cluster has {ray.cluster_resources()}, of which {ray.available_resources()} are free",
                "free resources (`ray status`), or ask for fewer workers",
            ) from error
        except RayActorError as error:
            raise self._died(death_of(error)) from error
        except RayTaskError as error:
            raise unwrapped(error) from error
        return self._info

    async def exchange(self, assignments: Sequence[Assignment], acknowledged: int) -> Update:
        """See `protocol.Worker`."""
        assert self._actor is not None
        if self._stuck >= MOST_STUCK:
            raise self._died(f"{self._stuck} environment calls hang in its threads")
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                update: Update = await self._actor.exchange.remote(assignments, acknowledged)
            self._stuck = update.stuck
            return update
        except TimeoutError as error:
            why = f"it said nothing for {_ANSWER_TIMEOUT_S:g} s: something blocks its event loop"
            raise self._died(why) from error
        except RayTaskError as error:
            raise unwrapped(error) from error
        except RayError as error:
            raise self._died(death_of(error)) from error

    async def close(self) -> None:
        """End the actor."""
        if self._actor is not None:
            await end_actors([self._actor])

    def _died(self, why: str) -> WorkerDied:
        """Give the actor up, and say what is known of its end."""
        actor, self._actor = self._actor, None
        if actor is not None:
            ray.kill(actor)  # whatever it still does must not count
        log = _last_lines(self._info.process) if self._info else []
        where = f" (process {self._info.process} on {self._info.node})" if self._info else ""
        return WorkerDied(f"the rollout worker died{where}: {why}" + "".join(f" | {line}" for line in log))


@asynccontextmanager
async def open_pool(
    environments: Sequence[EnvSpec],
    policy: PolicySpec,
    sampling: Sampling,
    limits: Limits,
    chaos: Chaos,
    *,
    num_workers: int,
    start_timeout_s: float,
) -> AsyncIterator[list[ActorWorker]]:
    """Workers inside the block, gone after it.

    Args:
        environments: What they host.
        policy: Who acts.
        sampling: How replies are drawn.
        limits: Of each worker.
        chaos: Faults to inject.
        num_workers: How many.
        start_timeout_s: Longest wait for one.
    """
    actor = ray.remote(RolloutWorker).options(
        num_cpus=_WORKER_CPUS, max_concurrency=8, scheduling_strategy="DEFAULT"
    )

    limits = replace(limits, gather_s=_GATHER_S)

    async with ENGINES.of(policy, limits.in_flight * num_workers) as endpoints:

        def make() -> Any:
            return actor.remote(environments, policy, endpoints, sampling, limits, chaos)

        workers = [ActorWorker(make, start_timeout_s) for _ in range(num_workers)]
        try:
            yield workers
        finally:
            await asyncio.gather(*(worker.close() for worker in workers))


def default_num_workers(in_flight: int) -> int:
    """One worker per CPU of the cluster that Ray is connected to, each with at least `_EPISODES` episodes.

    Args:
        in_flight: Episodes that run at once, over all workers.
    """
    cpus = int(ray.cluster_resources().get("CPU", 1))
    if len(ray.nodes()) == 1:  # a local Ray may count more CPUs than there are
        cpus = min(cpus, os.cpu_count() or 1)
    return max(1, min(cpus, in_flight // _EPISODES))


def _last_lines(process: int) -> list[str]:
    """The last lines that a worker process of this machine wrote to its error log."""
    context = ray.get_runtime_context()
    logs = os.path.join(context.get_temp_dir(), context.get_session_name(), "logs")
    for path in glob.glob(os.path.join(glob.escape(logs), f"worker-*-{process}.err")):
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = [line.rstrip() for line in stream.readlines()[-200:]]
        return [line for line in lines if line][-_LOG_LINES:]
    return []
