"""What a run has done so far: counts that add up, for the progress line, the summary and the event log."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentray.data.journal import Entry
from agentray.policy.router import EndpointStats
from agentray.rollout.leases import Lease
from agentray.rollout.protocol import EpisodeResult
from agentray.types import Progress, Source

_REPORT_EVERY_S = 0.25
_RATE_OVER_S = 10.0
_SLOWEST = 5


_VARYING = re.compile(r"\S*://\S*|\b(?=[\w-]*\d)[\w-]{8,}\b|\d{4,}")
"""What differs between failures that are the same: ids and long numbers; and addresses, which stay."""
_MOST_REASONS = 20


def reason(error: str) -> str:
    """What failures of one kind have in common."""
    text = error.partition(": error: ")[2].rpartition(" /   fix:")[0] or error
    text = text.replace(" /   why: ", ": ")
    return _VARYING.sub(lambda match: match[0] if "://" in match[0] else "#", text)[:200]


class RunCounts:
    """Counts what happens; a `dispatch.Observer`.

    Args:
        planned: Attempts of the whole run.
        thresholds: Reward from which an attempt counts as kept, by environment.
        progress: Called with how far the run is, a few times a second.
        log: File for what is out of the ordinary, one JSON line each.
    """

    def __init__(self, planned: int, thresholds: Mapping[str, float], progress: Progress, log: Path) -> None:
        self.planned = planned
        self.statuses: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        """Why attempts failed."""
        self.answered_by: dict[Source, None] = {}
        """Everyone who answered, in order of appearance."""
        self.adapted: dict[str, tuple[str, ...]] = {}
        """What endpoints are asked differently, by endpoint."""
        self.kept = self.num_turns = self.completion_tokens = self.broken_prefixes = 0
        self.retries = self.lost_workers = self.late_results = self.replayed_turns = self.mismatches = 0
        self.durations: list[float] = []
        self.running: Callable[[], list[Lease]] = list
        """The attempts that run now; set by who knows."""
        self._rewards: dict[str, tuple[float, int]] = {}
        self._thresholds, self._progress = thresholds, progress
        self._recent: deque[tuple[float, int, int]] = deque()
        self._log = log.open("a", encoding="utf-8", errors="backslashreplace")
        self._reported_s = 0.0
        self._endpoints: dict[int, Sequence[EndpointStats]] = {}
        self._gone: list[EndpointStats] = []
        """The last stats of workers that died."""

    def count(self, env: str, status: str, reward: float | None, error: str | None = None) -> None:
        """Add a result, of this start or an earlier one."""
        self.statuses[status] += 1
        if status == "failed":
            self.reasons[reason(error or "unknown")] += 1
        if reward is not None:
            total, number = self._rewards.get(env, (0.0, 0))
            self._rewards[env] = (total + reward, number + 1)
            self.kept += reward >= self._thresholds[env]

    def mean_reward(self, env: str) -> float | None:
        """Mean over the scored attempts of an environment."""
        total, number = self._rewards.get(env, (0.0, 0))
        return total / number if number else None

    def turn(self, lease: Lease, entry: Entry) -> None:
        """A turn is on the disk."""
        self.num_turns += 1
        self.completion_tokens += entry.tokens
        self.broken_prefixes += not entry.prefix_kept
        self._report()

    def end(self, lease: Lease, result: EpisodeResult) -> None:
        """An attempt has its result."""
        self.count(lease.attempt.task.env, result.status, result.reward, result.error)
        self.durations.append(result.duration_s)
        self._rebuilt(result)
        if result.status == "failed":
            self.event("attempt_failed", key=result.key, lease=result.lease, error=result.error)
        self._report()

    def retry(self, lease: Lease, result: EpisodeResult) -> None:
        """A lease failed; the attempt will be handed out again."""
        self.retries += 1
        self._rebuilt(result)
        self.event("lease_failed", key=result.key, lease=result.lease, error=result.error)

    def worker_died(self, worker: int, leases: Sequence[Lease], why: str) -> None:
        """The worker of these leases died; its successor counts from 0."""
        self._gone += self._endpoints.pop(worker, ())
        self.lost_workers += 1
        self.event("worker_lost", why=why, attempts=[lease.attempt.key for lease in leases])

    def late_result(self, key: str, lease: int) -> None:
        """Something of a lease that no longer counts arrived."""
        self.late_results += 1
        self.event("late_result", key=key, lease=lease)

    def endpoints(self, worker: int, stats: Sequence[EndpointStats]) -> None:
        """How a worker's endpoints are doing."""
        self._endpoints[worker] = stats
        for each in stats:
            if each.source is not None and each.source not in self.answered_by:
                self.answered_by[each.source] = None
            if each.adapted and self.adapted.get(each.name) != each.adapted:
                self.adapted[each.name] = each.adapted
                self.event("adapted", endpoint=each.name, what=list(each.adapted))
        self._report()

    def flush(self) -> None:
        """Report the last state."""
        self._report(now=True)

    def failed_by_reason(self) -> dict[str, int]:
        """Failed attempts by reason, the commonest first; the rare ones of many together."""
        common = self.reasons.most_common(_MOST_REASONS)
        rest = self.reasons.total() - sum(number for _, number in common)
        return dict(common) | ({"other": rest} if rest else {})

    def endpoint_totals(self) -> dict[str, dict[str, int]]:
        """Calls, retries, overloads and failures by endpoint, as far as its workers reported."""
        totals: dict[str, Counter[str]] = {}
        for each in itertools.chain(self._gone, *self._endpoints.values()):
            counts = {"calls": each.calls, "retries": each.retries, "overloads": each.overloads}
            totals.setdefault(each.name, Counter()).update({**counts, "failures": each.failures})
        return {name: dict(counts) for name, counts in totals.items()}

    def event(self, event: str, **fields: Any) -> None:
        """Write a line of the event log."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        self._log.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._log.flush()

    def close(self) -> None:
        """Report the last state, and close the log."""
        self._report(now=True)
        self._log.close()

    def _rebuilt(self, result: EpisodeResult) -> None:
        self.replayed_turns += result.replayed
        if result.mismatch:
            self.mismatches += 1
            self.event("replay_mismatch", key=result.key, lease=result.lease, why=result.mismatch)

    def _report(self, now: bool = False) -> None:
        at = time.monotonic()
        if not now and at - self._reported_s < _REPORT_EVERY_S:
            return
        self._reported_s = at
        self._recent.append((at, self.num_turns, self.completion_tokens))
        while at - self._recent[0][0] > _RATE_OVER_S:
            self._recent.popleft()
        since, turns, tokens = self._recent[0]
        span = max(at - since, 1e-9)
        self._progress(
            sum(self.statuses.values()),
            self.planned,
            slowest=[
                f"{lease.attempt.key}  turn {lease.num_turns}  {at - lease.since_s:.0f} s"
                for lease in self.running()[:_SLOWEST]
            ],
            kept=self.kept,
            failed=self.statuses["failed"],
            **{
                "calls/s": round((self.num_turns - turns) / span, 1),
                "tokens/s": round((self.completion_tokens - tokens) / span),
            },
        )
