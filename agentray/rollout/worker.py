"""A rollout worker: hosts environments and a policy, and plays many episodes at once. Run as a Ray actor.

It talks to the driver in exchanges: each brings new attempts and returns what happened meanwhile, so that one
call carries as much as there is. An episode goes on only when its last turn is acknowledged: a driver that
cannot write makes its workers wait.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from agentray.data.journal import Entry
from agentray.env import TextEnvironment
from agentray.errors import ResourceError, UnavailableError
from agentray.plugins import load_attribute
from agentray.policy.address import shown_address
from agentray.policy.base import Policy
from agentray.policy.router import Router
from agentray.rollout.chaos import Chaos
from agentray.rollout.episode import Episode, failed
from agentray.rollout.hosting import Host
from agentray.rollout.protocol import Assignment, EpisodeResult, Limits, Update, WorkerInfo
from agentray.types import Attempt, EnvSpec, PolicySpec, Sampling

_log = logging.getLogger(__name__)
HEARTBEAT_S = 1.0
"""Longest wait of an exchange in which nothing happens."""
MOST_STUCK = 16
"""Environment calls that may hang in threads of one worker before it is given up: half of its threads."""
_MANY = 32
"""Entries that are worth an exchange at once."""
_WAKE = 8
"""Episodes that go on in one turn of the event loop: each then takes about 0.1 ms."""


class RolloutWorker:
    """Plays attempts.

    Args:
        environments: The environments it may be asked for.
        policy: Who acts.
        endpoints: The copies of the policy that all workers share, by name; empty: it builds its own.
        sampling: How replies are drawn.
        limits: Deadlines and sizes.
        chaos: Faults to inject.
    """

    def __init__(
        self,
        environments: Sequence[EnvSpec],
        policy: PolicySpec,
        endpoints: Mapping[str, Policy],
        sampling: Sampling,
        limits: Limits,
        chaos: Chaos,
    ) -> None:
        self._hosts = {spec.id: Host(spec) for spec in environments}
        self._spec, self._sampling, self._limits, self._chaos = policy, sampling, limits, chaos
        self._outbox = Outbox(policy.paid, limits.gather_s)
        self._running: set[asyncio.Task[None]] = set()
        self._closing = False
        self._router: Router | None = None
        if policy.shared != "attempt":
            shared = endpoints or self._replicas(policy)
            self._router = Router(
                {name: chaos.policy(each) for name, each in shared.items()},
                in_flight=limits.in_flight,
                request_timeout_s=limits.turn_timeout_s,
                adaptive=policy.shared == "worker",
                answers_as=policy.answers_as,
            )

    @staticmethod
    def _replicas(policy: PolicySpec) -> dict[str, Policy]:
        """The copies that this worker builds, by name."""
        build = load_attribute(policy.entry_point)
        made: dict[str, Policy] = {}
        for number, replica in enumerate(policy.replicas):
            name = shown_address(str(replica["base_url"])) if "base_url" in replica else policy.id
            name = f"{name} ({number})" if name in made else name
            made[name] = build(**policy.kwargs, **replica)
        return made

    async def ready(self) -> WorkerInfo:
        """Wait until the policy can act."""
        if self._router is not None:
            await self._router.ready()
        capacity = {name: host.environment.hosting.max_episodes for name, host in self._hosts.items()}
        return WorkerInfo(os.getpid(), os.uname().nodename, capacity)

    async def exchange(self, assignments: Sequence[Assignment], acknowledged: int) -> Update:
        """Begin assignments, and return what happened; see `protocol.Worker`."""
        self._outbox.acknowledge(acknowledged)
        for assignment in assignments:
            task = asyncio.create_task(self._play(assignment))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        number, entries, results = await self._outbox.collect()
        return Update(
            number,
            entries,
            results,
            stuck=self.stuck,
            endpoints=() if self._router is None else self._router.stats(),
        )

    @property
    def stuck(self) -> int:
        """Environment calls that outlived their episode and still run."""
        return sum(host.stuck for host in self._hosts.values())

    async def _play(self, assignment: Assignment) -> None:
        """Bring an order to a result, whatever happens: the driver waits for it."""
        try:
            result = await self._played(assignment)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # a panic of native code is no Exception
            if self._closing:
                raise
            unavailable = isinstance(problem, UnavailableError)  # the policy: the episode has not begun
            result = failed(assignment, problem, "policy" if unavailable else "environment")
        self._outbox.finish(result)

    async def _played(self, assignment: Assignment) -> EpisodeResult:
        host = self._hosts[assignment.attempt.task.env]
        self._chaos.begin()
        async with self._policy_of(host.environment, assignment.attempt) as policy:
            timeout_s = self._limits.episode_timeout_s
            return await Episode(assignment, host, policy, self._sampling, timeout_s, self._outbox).run()

    @asynccontextmanager
    async def _policy_of(self, environment: TextEnvironment, attempt: Attempt) -> AsyncIterator[Policy]:
        """The policy of an attempt: the shared one, or its own; if paid, retried like an endpoint."""
        if self._router is not None:
            yield self._router
            return
        spec = self._spec
        known = (environment, attempt.task, attempt.seed) if spec.knows_task else ()
        policy: Policy = load_attribute(spec.entry_point)(*known, **spec.kwargs)
        if spec.paid:
            policy = Router(
                {spec.id: self._chaos.policy(policy)},
                in_flight=1,
                request_timeout_s=self._limits.turn_timeout_s,
                adaptive=False,
                answers_as=spec.answers_as,
            )
        try:
            await policy.ready()
            yield policy
        finally:
            try:
                await policy.close()
            except Exception as problem:  # the attempt has its result
                _log.warning("the policy %s did not close: %r", spec.id, problem)

    async def close(self) -> None:
        """Give up what runs; release the policy and the environments."""
        self._closing = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._router is not None:
            await self._router.close()
        for host in self._hosts.values():
            await host.close()


class LocalWorker(RolloutWorker):
    """A worker in the driver's own process, which cannot be replaced when its threads hang."""

    async def exchange(self, assignments: Sequence[Assignment], acknowledged: int) -> Update:
        """See `protocol.Worker`.

        Raises:
            ResourceError: Too many environment calls hang for good.
        """
        if self.stuck >= MOST_STUCK:
            raise ResourceError(
                f"{self.stuck} environment calls hang in their threads",
                "a thread cannot be killed, and this process has no worker that can be replaced",
                "give --set rollout.num_workers=1, or correct the environment; the same command then resumes",
            )
        return await super().exchange(assignments, acknowledged)


class Outbox:
    """What happened and is not yet with the driver, or not yet acknowledged.

    Args:
        paid: Whether an episode must wait until its turns are acknowledged.
        gather_s: What happens within this time travels in one update.
    """

    def __init__(self, paid: bool, gather_s: float) -> None:
        self._paid, self._gather_s = paid, gather_s
        self._entries: list[Entry] = []
        self._results: list[EpisodeResult] = []
        self._number, self._acknowledged = 1, 0
        self._some = asyncio.Event()
        self._safe: dict[int, list[asyncio.Future[None]]] = {}
        """Who waits for an update, by its number."""
        self._awake: deque[asyncio.Future[None]] = deque()
        """Who need not wait any more, and does not know yet."""

    def write(self, entry: Entry) -> None:
        """Take an entry."""
        self._entries.append(entry)
        self._some.set()

    async def durable(self) -> None:
        """Wait until the entries so far are acknowledged; without a paid policy, let others run."""
        if not self._paid:
            await asyncio.sleep(0)
            return
        if not self._entries and self._acknowledged >= self._number - 1:
            return
        safe = asyncio.get_running_loop().create_future()
        self._safe.setdefault(self._number, []).append(safe)
        await safe

    def finish(self, result: EpisodeResult) -> None:
        """Take a result."""
        self._results.append(result)
        self._some.set()

    def acknowledge(self, number: int) -> None:
        """Batches up to `number` are on the disk."""
        self._acknowledged = number
        idle = not self._awake
        for each in [each for each in self._safe if each <= number]:
            self._awake.extend(self._safe.pop(each))
        if idle:
            self._wake()

    def _wake(self) -> None:
        """Let a few episodes go on, then see what has arrived: replies must not wait until all have."""
        for _ in range(min(_WAKE, len(self._awake))):
            safe = self._awake.popleft()
            if not safe.done():  # done: its episode was cancelled
                safe.set_result(None)
        if self._awake:
            asyncio.get_running_loop().call_soon(self._wake)

    async def collect(self) -> tuple[int, list[Entry], list[EpisodeResult]]:
        """Everything so far, as the next update; waits for something, but not longer than a heartbeat."""
        if not self._some.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._some.wait()
        if len(self._entries) < _MANY:
            await asyncio.sleep(self._gather_s)
        self._some.clear()
        entries, results = self._entries, self._results
        self._entries, self._results = [], []
        number, self._number = self._number, self._number + 1
        return number, entries, results
