"""Policies that all workers of a run share, such as model engines: each in a Ray actor of its own.

with ENGINES.kept():
    run(first)
    run(second)  # by the same model: its engines are there already
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from agentray.cluster import cause
from agentray.errors import AgentrayError, ResourceError, UnavailableError
from agentray.plugins import load_attribute
from agentray.policy.base import Policy
from agentray.types import Message, PolicySpec, Reply, Sampling

_CLOSE_TIMEOUT_S = 20.0
_RETURNS_S = 120.0
"""Longest wait for an engine whose process died to be there again."""
_POLL_S = 1.0


class EngineEndpoint:
    """A model engine in an actor that all workers share; a policy. Ray restarts the actor where it dies.

    Args:
        actor: Handle of an actor whose class is a policy.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def ready(self) -> None:
        """Wait until the engine has loaded, perhaps anew."""
        deadline_s = time.monotonic() + _RETURNS_S
        while True:
            try:
                await self._call(self._actor.ready)
                return
            except UnavailableError:
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(_POLL_S)

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """The engine's reply."""
        reply: Reply = await self._call(self._actor.act, messages, sampling, info)
        return reply

    async def close(self) -> None:
        """Nothing to release: the actor belongs to `Engines`."""

    def kill(self) -> None:
        """Kill the engine's process; it starts again."""
        ray.kill(self._actor, no_restart=False)

    @staticmethod
    async def _call(method: Any, *args: Any) -> Any:
        try:
            return await method.remote(*args)
        except RayTaskError as error:
            raise unwrapped(error) from error
        except RayError as error:
            raise UnavailableError(
                "the model engine died", death_of(error), "it starts again; out of memory is the usual cause"
            ) from error


@dataclass
class _Made:
    """The actors of one policy, and how many runs use them now."""

    actors: Sequence[Any]
    runs: int = 0


class Engines:
    """The shared policies of a process's runs, which may run in several threads; equal ones share the actors.

    These end with the last run that uses them, or with the last `kept` block around it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, _Made] = {}
        self._num_keepers = 0

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside the block no engine ends."""
        with self._lock:
            self._num_keepers += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_keepers -= 1
                unused = self._take_unused()
            asyncio.run(end_actors(unused))

    @asynccontextmanager
    async def of(self, policy: PolicySpec, in_flight: int) -> AsyncIterator[Mapping[str, Policy]]:
        """The endpoints of a policy by name; none unless it is shared by the whole run.

        Args:
            policy: What the actors are.
            in_flight: Calls that one actor takes at once, if it is made now.
        """
        if policy.shared != "run":
            yield {}
            return
        with self._lock:
            name = repr(policy)
            made = self._made.get(name) or _Made(_started(policy, in_flight))
            self._made[name] = made
            made.runs += 1
        try:
            yield {f"engine {number}": EngineEndpoint(each) for number, each in enumerate(made.actors)}
        finally:
            with self._lock:
                made.runs -= 1
                unused = self._take_unused()
            await end_actors(unused)

    def _take_unused(self) -> list[Any]:
        """Forget the actors that no run uses and no block keeps; the caller ends them."""
        if self._num_keepers:
            return []
        unused = [name for name, made in self._made.items() if not made.runs]
        return [actor for name in unused for actor in self._made.pop(name).actors]


ENGINES = Engines()
"""Those of this process."""


def _started(policy: PolicySpec, in_flight: int) -> list[Any]:
    """The actors of a policy. Each reserves one CPU, and uses what the operating system gives it."""
    actor = ray.remote(load_attribute(policy.entry_point)).options(
        num_cpus=1,
        num_gpus=policy.num_gpus,
        max_concurrency=in_flight + 4,
        max_restarts=-1,  # the retries of calls and attempts are what is bounded
        scheduling_strategy="DEFAULT",  # not inside the placement group of a Tune trial, which has no room
    )
    return [actor.remote(**policy.kwargs, **replica) for replica in policy.replicas]


async def end_actors(actors: Sequence[Any]) -> None:
    """Close actors, then end their processes."""
    if actors:
        closing = [asyncio.ensure_future(_quiet(actor.close.remote())) for actor in actors]
        await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)
    for actor in actors:
        ray.kill(actor)


async def _quiet(reference: Any) -> None:
    """Wait for a result and forget it, whatever it is."""
    await asyncio.gather(reference, return_exceptions=True)


def unwrapped(error: BaseException) -> BaseException:
    """The user's error inside Ray's, or one that says where to look."""
    inner = cause(error)
    if isinstance(inner, AgentrayError):
        return inner
    last = str(error).strip().splitlines()[-1]
    return ResourceError("a rollout actor failed", last, "see the logs under /tmp/ray/session_latest/logs")


def death_of(error: BaseException) -> str:
    """What Ray knows of a death, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    dull = ("class_name:", "actor_id:", "pid:", "namespace:", "ip:", "name:")
    return " ".join(line for line in lines if not line.startswith(dull)) or type(error).__name__
