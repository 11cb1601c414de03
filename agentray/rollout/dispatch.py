"""Keeps the workers busy and brings every attempt to exactly one outcome. Plain asyncio, no Ray.

An attempt is handed out under a lease. Entries and outcomes of an older lease come too late and are dropped.
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
from agentray.rollout.leases import CONVICT_AFTER, SUSPECT_AFTER, Lease, Rules, Standing, Verdict
from agentray.rollout.orders import Attempt, Batch, Order, Outcome, Worker, WorkerInfo, WorkerLost

_MOST_LOSSES = 11
"""Workers that may die under one attempt, one after the other without a recorded turn between."""
_MOST_RESTARTS = 5
"""Successors of one worker that may die before one of them says anything."""
_STORE_PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Waits between tries to write the journal."""
_MOST_CONVICTED = 4
"""Attempts that may kill their workers, one after the other, before the run is given up."""


class Watcher(Protocol):
    """Told what happens, to count and show it."""

    def turn(self, lease: Lease, entry: Entry) -> None:
        """A turn is on the disk."""

    def end(self, lease: Lease, outcome: Outcome) -> None:
        """An attempt has its outcome."""

    def retry(self, lease: Lease, outcome: Outcome) -> None:
        """A lease failed; the attempt will be handed out again."""

    def lost(self, worker: int, leases: Sequence[Lease], why: str) -> None:
        """The worker of these leases died; its successor has the same number."""

    def late(self, key: str, lease: int) -> None:
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
        watch: Told everything worth counting or showing.
    """

    def __init__(self, attempts: Iterator[Attempt], store: RunStore, rules: Rules, watch: Watcher) -> None:
        self._attempts, self._store, self._rules, self._watch = attempts, store, rules, watch
        self._again: deque[Lease] = deque()
        self._leases: dict[str, Lease] = {}
        self._numbers = itertools.count(1)
        self._over = asyncio.Event()
        self._exhausted = False
        self._writing = asyncio.Lock()
        self._standing = Standing(rules, any(each != "failed" for each in store.finished.values()))
        self._waiting: list[tuple[Lease, Outcome]] = []
        """Prompts that were refused before anything was answered."""
        self._suspects: deque[Lease] = deque()
        """Attempts under which several workers died; each gets the next one to itself."""
        self._quarantined = False
        """Whether an attempt has ever had a worker to itself."""
        self._accused: list[tuple[Lease, str]] = []
        """Attempts that killed a worker which they had to themselves, and how."""
        self._serving = self._convicted = self._pending = 0
        self.tail_started_s: float | None = None
        """Monotonic time at which the last attempt was handed out for the first time."""

    async def run(self, workers: Sequence[Worker]) -> None:
        """Bring all attempts to an outcome.

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
            self._watch.flush()

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
                    orders = list(self._orders(info, share, mine, load))
                    batch = await worker.exchange(orders, acknowledged)
                    await self._settle(batch, mine, load)
                    acknowledged, restarts = batch.number, 0
                    self._watch.endpoints(number, batch.endpoints)
            except WorkerLost as lost:
                restarts += not any(lease.alone for lease in mine.values())
                await self._lose(number, mine, str(lost))
                if restarts > _MOST_RESTARTS:
                    raise ResourceError(
                        f"a rollout worker died {restarts} times in a row",
                        str(lost),
                        "correct the cause; the same command then resumes the run",
                    ) from lost

    async def _ready(self, number: int, worker: Worker, restarts: int) -> WorkerInfo | None:
        """Wait for a worker; None when its successor finds no room in the cluster, and others go on."""
        try:
            return await worker.ready()
        except UnavailableError as error:  # the policy is down, perhaps restarting, while a worker is back
            if restarts == 0:
                raise
            raise WorkerLost(error.what) from error
        except ResourceError as error:
            if restarts == 0 or self._serving <= 1:
                raise
            self._serving -= 1
            self._watch.lost(number, [], f"given up: {error.what}")
            return None

    def _orders(
        self, info: WorkerInfo, share: int, mine: dict[str, Lease], load: Counter[str]
    ) -> Iterator[Order]:
        """Attempts for the free places of a worker; `load` counts what it has by environment."""
        while len(mine) < share and len(self._leases) < self._rules.in_flight:
            if self._quarantined and any(lease.alone for lease in mine.values()):
                return
            lease = self._next(free=not mine)
            if lease is None:
                return
            env = lease.attempt.env
            if load[env] >= info.capacity[env]:
                self._again.appendleft(lease)
                return
            load[env] += 1
            now = time.monotonic()
            if lease.number == 0:
                self.tail_started_s = now
            lease.number, lease.since_s = next(self._numbers), now
            lease.replies_before = self._standing.replies
            key = lease.attempt.key
            self._leases[key] = mine[key] = lease
            recorded = tuple(self._store.open.get(key, ())) if env in self._rules.resumable else ()
            lease.depth = len(recorded)
            yield Order(lease.attempt, lease.number, recorded)

    def _next(self, free: bool) -> Lease | None:
        """The next attempt; one that may kill its worker only for one that has no other."""
        if free and self._suspects:
            lease = self._suspects.popleft()
            lease.alone = self._quarantined = True
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
        if self._idle and not (self._waiting or self._accused or self._pending):
            self._over.set()

    async def _settle(self, batch: Batch, mine: dict[str, Lease], load: Counter[str]) -> None:
        """Write what a batch brought, then count it and decide what comes next."""
        entries = [entry for entry in batch.entries if self._is_current(entry, mine)]
        outcomes = [outcome for outcome in batch.outcomes if self._is_current(outcome, mine)]
        replies = sum(entry.kind == "turn" for entry in entries)
        verdicts = [self._standing.verdict(each, mine[each.key]) for each in outcomes]
        if replies and not self._standing.works:
            verdicts = ["final" if each == "wait" else each for each in verdicts]
        begun_now = {entry.key for entry in entries}
        lines = list(entries)
        for outcome, verdict in zip(outcomes, verdicts, strict=True):
            if verdict == "final":
                known = outcome.key in begun_now
                lines += [outcome.end] if known else self._final(outcome, mine[outcome.key])
        await self._write(lines)
        for entry in entries:
            self._count(entry, mine[entry.key])
        ended_now = [(outcome, mine.pop(outcome.key)) for outcome in outcomes]
        for outcome, lease in ended_now:
            load[lease.attempt.env] -= 1
            del self._leases[outcome.key]
        # What stops the run comes last: all that was paid for is on the disk and counted.
        order = sorted(zip(ended_now, verdicts, strict=True), key=lambda each: each[1] == "stop")
        for (outcome, lease), verdict in order:
            self._conclude(outcome, lease, verdict)
        await self._decide_waiting()
        if replies or outcomes or self._idle:
            await self._convict()
        self._check_over()

    def _is_current(self, news: Entry | Outcome, mine: Mapping[str, Lease]) -> bool:
        """Whether news belong to a lease that counts."""
        lease = mine.get(news.key)
        current = lease is not None and lease.number == news.lease
        if not current:
            self._watch.late(news.key, news.lease)
        return current

    def _count(self, entry: Entry, lease: Lease) -> None:
        lease.depth += 1
        if lease.depth > lease.deepest:
            lease.deepest, lease.losses, lease.alone = lease.depth, 0, False
        if entry.kind == "turn":
            lease.num_turns += 1
            self._standing.replied()
            self._watch.turn(lease, entry)

    def _conclude(self, outcome: Outcome, lease: Lease, verdict: Verdict) -> None:
        """Count an outcome, or hand out again what failed."""
        if verdict == "final":
            self._convicted = 0
            self._watch.end(lease, outcome)
        elif verdict == "wait":
            self._waiting.append((lease, outcome))
        else:
            self._watch.retry(lease, outcome)
            lease.failures += 1
            if outcome.fault == "environment":
                self._store.forget(outcome.key)
            self._again.append(lease)
        if verdict == "stop":
            raise PolicyError(*(outcome.refusal or ("the policy refuses", str(outcome.error), "correct it")))
        self._standing.check(outcome, len(self._leases))

    async def _decide_waiting(self) -> None:
        """Refused prompts are refused for good once the policy is known to work for others.

        Raises:
            PolicyError: It refuses every prompt.
        """
        if not self._waiting:
            return
        if self._standing.works:
            waiting, self._waiting = self._waiting, []
            await self._write_off(waiting)
        elif self._idle or len(self._waiting) >= self._standing.num_waiting_allowed():
            refusal = self._waiting[0][1].refusal
            raise PolicyError(*(refusal or ("the policy refuses every prompt", "unknown", "correct it")))

    @property
    def _idle(self) -> bool:
        """Whether nothing runs and nothing is left to hand out."""
        return self._exhausted and not self._again and not self._suspects and not self._leases

    def _final(self, outcome: Outcome, lease: Lease) -> list[Entry]:
        """The journal's lines for an outcome that counts."""
        if outcome.key in self._store.open:
            return [outcome.end]
        return [begun(lease.attempt.trajectory("failed"), lease.number), outcome.end]

    async def _lose(self, number: int, mine: Mapping[str, Lease], why: str) -> None:
        """The worker of these leases died: hand them out again, but not for ever.

        One under which several died has the next to itself; if these die too, it is to blame.

        Raises:
            ResourceError: Every attempt kills its worker.
        """
        self._watch.lost(number, list(mine.values()), why)
        before = len(self._accused)
        for key, lease in mine.items():
            lease.losses += 1
            del self._leases[key]
            if lease.losses >= (CONVICT_AFTER if lease.alone else _MOST_LOSSES):
                self._accused.append((lease, why))
            elif lease.alone:
                self._suspects.appendleft(lease)  # settled before the next one is tried
            elif lease.losses >= SUSPECT_AFTER:
                self._suspects.append(lease)
            else:
                self._again.append(lease)
        self._convicted += len(self._accused) - before
        if self._convicted >= _MOST_CONVICTED:
            envs = " and ".join(sorted({repr(lease.attempt.env) for lease, _ in self._accused}))
            raise ResourceError(
                f"{self._convicted} attempts in a row killed their workers, alone in them: {envs}",
                why,
                "correct the cause, or let the environment run in processes of its own: "
                'hosting = Hosting(mode="process"); the same command then resumes the run',
            )
        if self._idle:
            await self._convict()
            await self._decide_waiting()
        self._check_over()

    async def _convict(self) -> None:
        """Write off the attempts that killed their workers: others have shown that workers live."""
        accused, self._accused = self._accused, []
        outcomes = []
        for lease, why in accused:
            key, env = lease.attempt.key, lease.attempt.env
            error = (
                f"environment {env!r} crashed {lease.losses} workers, the last alone in them: {why}; "
                'hosting mode "process" gives each episode a process of its own'
            )
            end = ended(lease.attempt.trajectory("failed", error=error), lease.number)
            outcome = Outcome(key, lease.number, env, "failed", None, error, 0.0, 0, end, fault="environment")
            outcomes.append((lease, outcome))
        await self._write_off(outcomes)

    async def _write_off(self, ended_now: Sequence[tuple[Lease, Outcome]]) -> None:
        """Store and count outcomes that were held back."""
        self._pending += len(ended_now)  # until then the run is not over
        try:
            await self._write([line for lease, outcome in ended_now for line in self._final(outcome, lease)])
        finally:
            self._pending -= len(ended_now)
        for lease, outcome in ended_now:
            self._watch.end(lease, outcome)

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
                            "free space or mend the file system; the same command then resumes the run",
                        ) from error
                    await asyncio.sleep(pause)


def _twice(attempt: Attempt) -> DataError:
    return DataError(
        f"{attempt.env!r} has two tasks with the id {attempt.task.id!r}",
        "an attempt is stored by the id of its task, so one of the two would be lost",
        "give every task an id of its own, in its data or in the environment's `tasks`",
    )
