"""Rollout workers as Ray actors, and the loop that keeps them busy with a bounded number of episodes."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from agentray.cluster import cause
from agentray.env.registry import load_attribute
from agentray.errors import AgentrayError, ResourceError
from agentray.rollout.episode import Attempt, Limits
from agentray.rollout.worker import RolloutWorker
from agentray.types import EnvSpec, PolicySpec, Sampling, Trajectory

_WORKER_CPUS = 0.25
"""Logical CPUs a worker reserves: it waits for replies most of the time."""
_CLOSE_TIMEOUT_S = 20.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolConfig:
    """How many workers, and how much they do at once."""

    num_workers: int
    in_flight: int
    max_retries: int
    start_timeout_s: float


class Pool:
    """Workers and, when the policy is a model, the actor of its engine."""

    def __init__(
        self,
        environments: Sequence[EnvSpec],
        policy: PolicySpec,
        sampling: Sampling,
        limits: Limits,
        config: PoolConfig,
    ) -> None:
        self._config = config
        self.engine: Any | None = None
        if policy.scope == "actor":
            self.engine = _engine(policy, config.in_flight)
        actor = ray.remote(RolloutWorker).options(
            num_cpus=_WORKER_CPUS,
            max_concurrency=config.in_flight + 4,
            scheduling_strategy="DEFAULT",
        )
        self._new_worker = partial(actor.remote, environments, policy, self.engine, sampling, limits)
        self._workers = [self._new_worker() for _ in range(config.num_workers)]

    async def ready(self) -> None:
        """Wait until every worker and the policy can act.

        Raises:
            AgentrayError: The environments or the policy cannot be built.
            ResourceError: They are not ready in time.
        """
        deadline = self._config.start_timeout_s
        try:
            async with asyncio.timeout(deadline):
                await asyncio.gather(*(worker.ready.remote() for worker in self._workers))
        except TimeoutError as error:
            raise ResourceError(
                f"the rollout workers were not ready within {deadline:g} s",
                f"{len(self._workers)} workers asked for; the cluster has {ray.cluster_resources()}",
                "free resources (`ray status`), or ask for fewer workers",
            ) from error
        except (RayTaskError, RayActorError) as error:
            raise _unwrap(error) from error

    async def play(self, attempts: Iterable[Attempt]) -> AsyncIterator[Trajectory]:
        """Trajectories of all attempts, as they finish; at most `in_flight` run at once.

        An attempt that failed (the machinery, not the policy) is made again up to `max_retries` times.
        """
        waiting: Iterator[Attempt] = iter(attempts)
        running: set[asyncio.Task[Trajectory]] = set()
        turn = 0
        exhausted = False
        while running or not exhausted:
            while not exhausted and len(running) < self._config.in_flight:
                attempt = next(waiting, None)
                if attempt is None:
                    exhausted = True
                    break
                running.add(asyncio.create_task(self._make(attempt, turn)))
                turn += 1
            if running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()

    async def _make(self, attempt: Attempt, turn: int) -> Trajectory:
        """Make an attempt until it does not fail, or the retries are used up."""
        trajectory: Trajectory | None = None
        for retry in range(self._config.max_retries + 1):
            place = (turn + retry) % len(self._workers)
            worker = self._workers[place]
            try:
                trajectory = await worker.play.remote(attempt)
                if trajectory.status != "failed":
                    return trajectory
                why = trajectory.error
            except RayActorError as error:
                why = f"the worker died: {error}"
                trajectory = _lost(attempt, why)
                if self._workers[place] is worker:  # the first to notice replaces it
                    self._workers[place] = self._new_worker()
            _log.warning("attempt %s failed (%s), try %d", attempt.key, why, retry + 1)
        assert trajectory is not None
        return trajectory

    async def close(self) -> None:
        """End the workers, and the engine unless `kept_engines` keeps it."""
        kept = _kept_engines is not None
        await _end([*self._workers, *([] if self.engine is None or kept else [self.engine])])


@asynccontextmanager
async def open_pool(
    environments: Sequence[EnvSpec],
    policy: PolicySpec,
    sampling: Sampling,
    limits: Limits,
    config: PoolConfig,
) -> AsyncIterator[Pool]:
    """A pool that is ready inside the block and gone after it."""
    pool = Pool(environments, policy, sampling, limits, config)
    try:
        await pool.ready()
        yield pool
    finally:
        await pool.close()


def default_num_workers() -> int:
    """One worker per real CPU of this machine, at most four: a worker hosts many episodes."""
    return max(1, min(4, os.cpu_count() or 1))


_kept_engines: dict[str, Any] | None = None


@contextmanager
def kept_engines() -> Iterator[None]:
    """Inside the block, runs with an equal engine share one actor, which ends with the block."""
    global _kept_engines
    _kept_engines = {}
    try:
        yield
    finally:
        kept, _kept_engines = list(_kept_engines.values()), None
        asyncio.run(_end(kept))


def _engine(policy: PolicySpec, in_flight: int) -> Any:
    """The actor of a model engine. It reserves one CPU, and uses what the operating system gives it."""
    name = repr(policy)
    if _kept_engines is not None and name in _kept_engines:
        return _kept_engines[name]
    actor = ray.remote(load_attribute(policy.entry_point)).options(
        num_cpus=1,
        num_gpus=policy.num_gpus,
        max_concurrency=in_flight + 4,
        max_restarts=1,
        scheduling_strategy="DEFAULT",  # not inside the placement group of a Tune trial, which has no room
    )
    engine = actor.remote(**policy.kwargs)
    if _kept_engines is not None:
        _kept_engines[name] = engine
    return engine


async def _end(actors: Sequence[Any]) -> None:
    """Close actors, then end their processes."""
    if actors:
        closing = [asyncio.ensure_future(_quiet(actor.close.remote())) for actor in actors]
        await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)
    for actor in actors:
        ray.kill(actor)


def _lost(attempt: Attempt, why: str) -> Trajectory:
    """The record of an attempt whose worker died with it."""
    return Trajectory(
        task=attempt.task,
        prompt=(),
        turns=(),
        reward=None,
        status="failed",
        sample=attempt.sample,
        seed=attempt.seed,
        policy=attempt.policy,
        duration_s=0.0,
        error=why,
    )


def _unwrap(error: BaseException) -> BaseException:
    inner = cause(error)
    if isinstance(inner, AgentrayError):
        return inner
    return ResourceError(
        "a rollout worker could not start",
        str(error).strip().splitlines()[-1],
        "see the logs under /tmp/ray/session_latest/logs",
    )


async def _quiet(reference: Any) -> None:
    """Wait for a result and forget it, whatever it is."""
    await asyncio.gather(reference, return_exceptions=True)
