"""Rollout workers and model engines as Ray actors, on whatever nodes the cluster has."""

from __future__ import annotations

import asyncio
import glob
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from agentray.cluster import cause
from agentray.errors import AgentrayError, ResourceError, UnavailableError
from agentray.plugins import load_attribute
from agentray.policy.base import Policy
from agentray.rollout.chaos import Chaos
from agentray.rollout.protocol import Assignment, Limits, Update, WorkerDied, WorkerInfo
from agentray.rollout.worker import MOST_STUCK, RolloutWorker
from agentray.types import EnvSpec, Message, PolicySpec, Reply, Sampling

_WORKER_CPUS = 0.25
"""Logical CPUs a worker reserves: it waits for replies most of the time."""
_GATHER_S = 0.002
"""An exchange costs about as much: what happens within this time travels in one."""
_ANSWER_TIMEOUT_S = 60.0
"""A worker answers every second unless something blocks its event loop."""
_CLOSE_TIMEOUT_S = 20.0
_ENGINE_RETURNS_S = 120.0
"""Longest wait for an engine whose process died to be there again."""
_ENGINE_POLL_S = 1.0
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
        """Wait until it can play; starts a successor where the last one was lost."""
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
            raise self._lost(_why(error)) from error
        except RayTaskError as error:
            raise _unwrap(error) from error
        return self._info

    async def exchange(self, assignments: Sequence[Assignment], acknowledged: int) -> Update:
        """See `protocol.Worker`."""
        assert self._actor is not None
        if self._stuck >= MOST_STUCK:
            raise self._lost(f"{self._stuck} environment calls hang in its threads")
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                update: Update = await self._actor.exchange.remote(assignments, acknowledged)
            self._stuck = update.stuck
            return update
        except TimeoutError as error:
            why = f"it said nothing for {_ANSWER_TIMEOUT_S:g} s: something blocks its event loop"
            raise self._lost(why) from error
        except RayTaskError as error:
            raise _unwrap(error) from error
        except RayError as error:
            raise self._lost(_why(error)) from error

    async def close(self) -> None:
        """End the actor."""
        if self._actor is not None:
            await _end([self._actor])

    def _lost(self, why: str) -> WorkerDied:
        """Give the actor up, and say what is known of its end."""
        actor, self._actor = self._actor, None
        if actor is not None:
            ray.kill(actor)  # whatever it still does must not count
        log = _last_lines(self._info.process) if self._info else []
        where = f" (process {self._info.process} on {self._info.node})" if self._info else ""
        return WorkerDied(f"the rollout worker died{where}: {why}" + "".join(f" | {line}" for line in log))


class EngineEndpoint:
    """A model engine in an actor that all workers share; a policy. Ray restarts the actor where it dies.

    Args:
        actor: Handle of an actor whose class is a policy.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def ready(self) -> None:
        """Wait until the engine has loaded, perhaps anew."""
        deadline_s = time.monotonic() + _ENGINE_RETURNS_S
        while True:
            try:
                await self._call(self._actor.ready)
                return
            except UnavailableError:
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(_ENGINE_POLL_S)

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """The engine's reply."""
        reply: Reply = await self._call(self._actor.act, messages, sampling, info)
        return reply

    async def close(self) -> None:
        """Nothing to release: the actor belongs to the pool."""

    def kill(self) -> None:
        """Kill the engine's process; it starts again."""
        ray.kill(self._actor, no_restart=False)

    @staticmethod
    async def _call(method: Any, *args: Any) -> Any:
        try:
            return await method.remote(*args)
        except RayTaskError as error:
            raise _unwrap(error) from error
        except RayError as error:
            raise UnavailableError(
                "the model engine died", _why(error), "it starts again; out of memory is the usual cause"
            ) from error


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
    engines = _engines(policy, limits.in_flight * num_workers) if policy.shared == "run" else []
    endpoints: dict[str, Policy] = {f"engine {i}": EngineEndpoint(each) for i, each in enumerate(engines)}
    actor = ray.remote(RolloutWorker).options(
        num_cpus=_WORKER_CPUS, max_concurrency=8, scheduling_strategy="DEFAULT"
    )

    limits = replace(limits, gather_s=_GATHER_S)

    def make() -> Any:
        return actor.remote(environments, policy, endpoints, sampling, limits, chaos)

    workers = [ActorWorker(make, start_timeout_s) for _ in range(num_workers)]
    try:
        yield workers
    finally:
        await asyncio.gather(*(worker.close() for worker in workers))
        if _kept_engines is None:
            await _end(engines)


def default_num_workers() -> int:
    """One worker per real CPU of this machine, at most four: a worker hosts many episodes."""
    return max(1, min(4, os.cpu_count() or 1))


_kept_engines: dict[str, list[Any]] | None = None


@contextmanager
def kept_engines() -> Iterator[None]:
    """Inside the block, runs with equal engines share their actors, which end with the block."""
    global _kept_engines
    _kept_engines = {}
    try:
        yield
    finally:
        kept, _kept_engines = _kept_engines, None
        asyncio.run(_end([actor for actors in kept.values() for actor in actors]))


def _engines(policy: PolicySpec, in_flight: int) -> list[Any]:
    """The actors of a model's engines. Each reserves one CPU, and uses what the operating system gives it."""
    name = repr(policy)
    if _kept_engines is not None and name in _kept_engines:
        return _kept_engines[name]
    actor = ray.remote(load_attribute(policy.entry_point)).options(
        num_cpus=1,
        num_gpus=policy.num_gpus,
        max_concurrency=in_flight + 4,
        max_restarts=-1,  # the retries of calls and attempts are what is bounded
        scheduling_strategy="DEFAULT",  # not inside the placement group of a Tune trial, which has no room
    )
    engines = [actor.remote(**policy.kwargs, **replica) for replica in policy.replicas]
    if _kept_engines is not None:
        _kept_engines[name] = engines
    return engines


async def _end(actors: Sequence[Any]) -> None:
    """Close actors, then end their processes."""
    if actors:
        closing = [asyncio.ensure_future(_quiet(actor.close.remote())) for actor in actors]
        await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)
    for actor in actors:
        ray.kill(actor)


async def _quiet(reference: Any) -> None:
    """Wait for a result and forget it, whatever it is."""
    await asyncio.gather(reference, return_exceptions=True)


def _why(error: BaseException) -> str:
    """What Ray knows of a death, on one line."""
    told = [line.strip() for line in str(error).splitlines() if line.strip()]
    dull = ("class_name:", "actor_id:", "pid:", "namespace:", "ip:", "name:")
    return " ".join(line for line in told if not line.startswith(dull)) or type(error).__name__


def _last_lines(process: int) -> list[str]:
    """The last lines that a worker process of this machine wrote to its error log."""
    context = ray.get_runtime_context()
    logs = os.path.join(context.get_temp_dir(), context.get_session_name(), "logs")
    for path in glob.glob(os.path.join(glob.escape(logs), f"worker-*-{process}.err")):
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = [line.rstrip() for line in stream.readlines()[-200:]]
        return [line for line in lines if line][-_LOG_LINES:]
    return []


def _unwrap(error: BaseException) -> BaseException:
    """The user's error inside Ray's, or one that says where to look."""
    inner = cause(error)
    if isinstance(inner, AgentrayError):
        return inner
    last = str(error).strip().splitlines()[-1]
    return ResourceError("a rollout actor failed", last, "see the logs under /tmp/ray/session_latest/logs")
