"""Keeps the workers busy and brings every attempt to exactly one result. Plain asyncio, no Ray.

An attempt is handed out under a lease. Entries and results of an older lease come too late and are dropped.
An attempt whose worker died, or whose policy failed, is handed out again, with what is recorded of it where
its environment can be rebuilt from that.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from agentray.data.journal import Entry, begun, ended
from agentray.data.store import RunStore
from agentray.errors import DataError, PolicyError, ResourceError, UnavailableError
from agentray.policy.router import EndpointStats
from agentray.rollout.leases import BLAME_AFTER, ISOLATE_AFTER, Decision, Lease, PolicyHealth, Rules
from agentray.rollout.protocol import Assignment, EpisodeResult, Update, Worker, WorkerDied, WorkerInfo
from agentray.types import Attempt

_MOST_DEATHS = 11
"""Workers that may die under one attempt, one after the other without a recorded turn between."""
_MOST_RESTARTS = 5
"""Successors of one worker that may die before one of them says anything."""
_STORE_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Waits between tries to write the journal."""
_MOST_BLAMED = 4
"""Attempts that may kill their workers, one after the other, before the run is given up."""


class Observer(Protocol):
    """Is called with what happens, to count and show it."""

    def turn(self, lease: Lease, entry: Entry) -> None:
        """A turn is on the disk."""

    def end(self, lease: Lease, result: EpisodeResult) -> None:
        """An attempt has its result."""

    def retry(self, lease: Lease, result: EpisodeResult) -> None:
        """A lease failed; the attempt will be handed out again."""

    def worker_died(self, worker: int, leases: Sequence[Lease], why: str) -> None:
        """The worker of these leases died; its successor has the same number."""

    def late_result(self, key: str, lease: int) -> None:
        """Something of a lease that no longer counts arrived, and was dropped."""

    def endpoints(self, worker: int, stats: Sequence[EndpointStats]) -> None:
        """How a worker's endpoints are doing."""

    def flush(self) -> None:
        """The run is over, well or not: pass on what is pending."""


class Dispatcher:
    """The loop of a run.

    Args:
        attempts: What to make, in order; read as places become free.
        store: Where it goes; also holds what an earlier start recorded.
        rules: Limits.
        observer: Called with everything worth counting or showing.
    """

    def __init__(
        self, attempts: Iterator[Attempt], store: RunStore, rules: Rules, observer: Observer
    ) -> None:
        self._attempts, self._store, self._rules, self._observer = attempts, store, rules, observer
        self._again: deque[Lease] = deque()
        self._leases: dict[str, Lease] = {}
        self._numbers = itertools.count(1)
        self._over = asyncio.Event()
        self._exhausted = False
        self._writing = asyncio.Lock()
        self._health = PolicyHealth(rules, any(each != "failed" for each in store.finished.values()))
        self._waiting: list[tuple[Lease, EpisodeResult]] = []
        """Prompts that were refused before anything was answered."""
        self._to_isolate: deque[Lease] = deque()
        """Attempts under which several workers died; each gets the next one to itself."""
        self._has_isolated = False
        """Whether an attempt has ever had a worker to itself."""
        self._blamed: list[tuple[Lease, str]] = []
        """Attempts that killed a worker which they had to themselves, and how."""
        self._serving = self._blamed_in_row = self._pending = 0
        self.tail_started_s: float | None = None
        """Monotonic time at which the last attempt was handed out for the first time."""

    async def run(self, workers: Sequence[Worker]) -> None:
        """Bring all attempts to a result.

        Raises:
            PolicyError: The policy will never answer.
            UnavailableError: It has stopped to answer.
            ResourceError: The journal cannot be written, or workers die as soon as they start.
            DataError: Two attempts have the same key.
        """
        self._serving = len(workers)
        share = -(-self._rules.in_flight // len(workers))
        serving = [
            asyncio.create_task(self._serve(number, worker, share)) for number, worker in enumerate(workers)
        ]
        over = asyncio.create_task(self._over.wait())
        try:
            done, _ = await asyncio.wait({over, *serving}, return_when=asyncio.FIRST_COMPLETED)
            while over not in done:
                for task in done:
                    task.result()
                pending = {task for task in serving if not task.done()}
                done, _ = await asyncio.wait({over, *pending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (over, *serving):
                task.cancel()
            await asyncio.gather(over, *serving, return_exceptions=True)
            self._observer.flush()

    def running(self) -> list[Lease]:
        """Attempts that are with a worker, oldest first."""
        return sorted(self._leases.values(), key=lambda lease: lease.since_s)

    async def _serve(self, number: int, worker: Worker, share: int) -> None:
        """Keep one worker, and its successors, busy until all attempts have ended."""
        restarts = 0
        while True:
            mine: dict[str, Lease] = {}
            load: Counter[str] = Counter()
            acknowledged = 0
            try:
                info = await self._ready(number, worker, restarts)
                if info is None:
                    return
                while True:
                    assignments = list(self._assignments(info, share, mine, load))
                    update = await worker.exchange(assignments, acknowledged)
                    await self._settle(update, mine, load)
                    acknowledged, restarts = update.number, 0
                    self._observer.endpoints(number, update.endpoints)
            except WorkerDied as death:
                restarts += not any(lease.isolated for lease in mine.values())
                await self._worker_died(number, mine, str(death))
                if restarts > _MOST_RESTARTS:
                    raise ResourceError(
                        f"a rollout worker died {restarts} times in a row",
                        str(death),
                        "correct the cause; the same command then resumes the run",
                    ) from death

    async def _ready(self, number: int, worker: Worker, restarts: int) -> WorkerInfo | None:
        """Wait for a worker; None when its successor finds no room in the cluster, and others go on."""
        try:
            return await worker.ready()
        except UnavailableError as error:  # the policy is down, perhaps restarting, while a worker is back
            if restarts == 0:
                raise
            raise WorkerDied(error.what) from error
        except ResourceError as error:
            if restarts == 0 or self._serving <= 1:
                raise
            self._serving -= 1
            self._observer.worker_died(number, [], f"given up: {error.what}")
            return None

    def _assignments(
        self, info: WorkerInfo, share: int, mine: dict[str, Lease], load: Counter[str]
    ) -> Iterator[Assignment]:
        """Attempts for the free places of a worker; `load` counts what it has by environment."""
        while len(mine) < share and len(self._leases) < self._rules.in_flight:
            if self._has_isolated and any(lease.isolated for lease in mine.values()):
                return
            lease = self._next(free=not mine)
            if lease is None:
                return
            env = lease.attempt.task.env
            if load[env] >= info.capacity[env]:
                self._again.appendleft(lease)
                return
            load[env] += 1
            now = time.monotonic()
            if lease.number == 0:
                self.tail_started_s = now
            lease.number, lease.since_s = next(self._numbers), now
            lease.replies_before = self._health.replies
            key = lease.attempt.key
            self._leases[key] = mine[key] = lease
            recorded = tuple(self._store.open.get(key, ())) if env in self._rules.resumable else ()
            lease.depth = len(recorded)
            yield Assignment(lease.attempt, lease.number, recorded)

    def _next(self, free: bool) -> Lease | None:
        """The next attempt; one that may kill its worker only for one that has no other."""
        if free and self._to_isolate:
            lease = self._to_isolate.popleft()
            lease.isolated = self._has_isolated = True
            return lease
        if self._again:
            return self._again.popleft()
        attempt = None if self._exhausted else next(self._attempts, None)
        if attempt is not None:
            if attempt.key in self._leases or attempt.key in self._store.finished:
                raise _twice(attempt)
            return Lease(attempt)
        self._exhausted = True
        self._check_over()
        return None

    def _check_over(self) -> None:
        if self._idle and not (self._waiting or self._blamed or self._pending):
            self._over.set()

    async def _settle(self, update: Update, mine: dict[str, Lease], load: Counter[str]) -> None:
        """Write what an update brought, then count it and decide what comes next."""
        entries = [entry for entry in update.entries if self._is_current(entry, mine)]
        results = [result for result in update.results if self._is_current(result, mine)]
        replies = sum(entry.kind == "turn" for entry in entries)
        decisions = [self._health.decide(each, mine[each.key]) for each in results]
        if replies and not self._health.works:
            decisions = ["final" if each == "wait" else each for each in decisions]
        begun_now = {entry.key for entry in entries}
        lines = list(entries)
        for result, decision in zip(results, decisions, strict=True):
            if decision == "final":
                lines += self._final(result, mine[result.key], result.key in begun_now)
        await self._write(lines)
        for entry in entries:
            self._count(entry, mine[entry.key])
        ended_now = [(result, mine.pop(result.key)) for result in results]
        for result, lease in ended_now:
            load[lease.attempt.task.env] -= 1
            del self._leases[result.key]
        # What stops the run comes last: all that was paid for is on the disk and counted.
        order = sorted(zip(ended_now, decisions, strict=True), key=lambda each: each[1] == "stop")
        for (result, lease), decision in order:
            self._conclude(result, lease, decision)
        await self._decide_waiting()
        if replies or results or self._idle:
            await self._write_off_blamed()
        self._check_over()

    def _is_current(self, item: Entry | EpisodeResult, mine: Mapping[str, Lease]) -> bool:
        """Whether an item belongs to a lease that counts."""
        lease = mine.get(item.key)
        current = lease is not None and lease.number == item.lease
        if not current:
            self._observer.late_result(item.key, item.lease)
        return current

    def _count(self, entry: Entry, lease: Lease) -> None:
        lease.depth += 1
        if lease.depth > lease.deepest:
            lease.deepest, lease.deaths, lease.isolated = lease.depth, 0, False
        if entry.kind == "turn":
            lease.num_turns += 1
            self._health.replied()
            self._observer.turn(lease, entry)

    def _conclude(self, result: EpisodeResult, lease: Lease, decision: Decision) -> None:
        """Count a result, or hand out again what failed."""
        if decision == "final":
            self._blamed_in_row = 0
            self._observer.end(lease, result)
        elif decision == "wait":
            self._waiting.append((lease, result))
        else:
            self._observer.retry(lease, result)
            lease.failures += 1
            if result.fault == "environment":
                self._store.forget(result.key)
            self._again.append(lease)
        if decision == "stop":
            raise PolicyError(*(result.refusal or ("the policy refuses", str(result.error), "correct it")))
        self._health.check(result, len(self._leases))

    async def _decide_waiting(self) -> None:
        """Refused prompts are refused for good once the policy is known to work for others.

        Raises:
            PolicyError: It refuses every prompt.
        """
        if not self._waiting:
            return
        if self._health.works:
            waiting, self._waiting = self._waiting, []
            await self._write_off(waiting)
        elif self._idle or len(self._waiting) >= self._health.num_waiting_allowed():
            refusal = self._waiting[0][1].refusal
            raise PolicyError(*(refusal or ("the policy refuses every prompt", "unknown", "correct it")))

    @property
    def _idle(self) -> bool:
        """Whether nothing runs and nothing is left to hand out."""
        return self._exhausted and not self._again and not self._to_isolate and not self._leases

    def _final(self, result: EpisodeResult, lease: Lease, has_begun: bool = False) -> list[Entry]:
        """The journal's lines for a result that counts, after a `begin` where there is none."""
        end = ended(result.key, lease.number, result, result.num_turns)
        if has_begun or result.key in self._store.open:
            return [end]
        return [begun(lease.attempt, lease.number), end]

    async def _worker_died(self, number: int, mine: Mapping[str, Lease], why: str) -> None:
        """The worker of these leases died: hand them out again, but not for ever.

        One under which several died has the next to itself; if these die too, it is to blame.

        Raises:
            ResourceError: Every attempt kills its worker.
        """
        self._observer.worker_died(number, list(mine.values()), why)
        before = len(self._blamed)
        for key, lease in mine.items():
            lease.deaths += 1
            del self._leases[key]
            if lease.deaths >= (BLAME_AFTER if lease.isolated else _MOST_DEATHS):
                self._blamed.append((lease, why))
            elif lease.isolated:
                self._to_isolate.appendleft(lease)  # settled before the next one is tried
            elif lease.deaths >= ISOLATE_AFTER:
                self._to_isolate.append(lease)
            else:
                self._again.append(lease)
        self._blamed_in_row += len(self._blamed) - before
        if self._blamed_in_row >= _MOST_BLAMED:
            envs = " and ".join(sorted({repr(lease.attempt.task.env) for lease, _ in self._blamed}))
            raise ResourceError(
                f"{self._blamed_in_row} attempts in a row killed their workers, each alone in one: {envs}",
                why,
                "correct the cause, or let the environment run in processes of its own: "
                'hosting = Hosting(mode="process"); the same command then resumes the run',
            )
        if self._idle:
            await self._write_off_blamed()
            await self._decide_waiting()
        self._check_over()

    async def _write_off_blamed(self) -> None:
        """Write off the attempts that killed their workers: others have shown that workers live."""
        accused, self._blamed = self._blamed, []
        results = []
        for lease, why in accused:
            key, env = lease.attempt.key, lease.attempt.task.env
            error = (
                f"environment {env!r} crashed {lease.deaths} workers, the last ones alone in them: {why}; "
                'hosting mode "process" gives each episode a process of its own'
            )
            results.append((lease, EpisodeResult(key, lease.number, "failed", error, "environment")))
        await self._write_off(results)

    async def _write_off(self, ended_now: Sequence[tuple[Lease, EpisodeResult]]) -> None:
        """Store and count results that were held back."""
        self._pending += len(ended_now)  # until then the run is not over
        try:
            await self._write([line for lease, result in ended_now for line in self._final(result, lease)])
        finally:
            self._pending -= len(ended_now)
        for lease, result in ended_now:
            self._observer.end(lease, result)

    async def _write(self, entries: Sequence[Entry]) -> None:
        """Put entries on the disk, waiting a while for one that is full or gone.

        Raises:
            ResourceError: It stays so.
        """
        if not entries:
            return
        async with self._writing:
            for pause in (*_STORE_PAUSES_S, None):
                try:
                    await asyncio.to_thread(self._store.commit, entries)
                    return
                except OSError as error:
                    if pause is None:
                        raise ResourceError(
                            f"the run directory {str(self._store.directory)!r} cannot be written",
                            str(error),
                            "free space or repair the file system; the same command then resumes the run",
                        ) from error
                    await asyncio.sleep(pause)


def _twice(attempt: Attempt) -> DataError:
    return DataError(
        f"{attempt.task.env!r} has two tasks with the id {attempt.task.id!r}",
        "an attempt is stored by the id of its task, so one of the two would be lost",
        "give every task an id of its own, in its data or in the environment's `tasks`",
    )
