"""The counts of a run as Prometheus metrics, through Ray's exporter on every node (`ray_agentray_...`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from ray.util import metrics

from agentray.data.journal import Entry
from agentray.policy.router import EndpointStats
from agentray.rollout.counts import RunCounts
from agentray.rollout.leases import Lease
from agentray.rollout.protocol import EpisodeResult

_FLUSH_EVERY_S = 1.0
_SECONDS = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]


class RayMetrics:
    """Passes on what happens to the counts, and once a second to Ray; a `dispatch.Observer`."""

    def __init__(self, counts: RunCounts) -> None:
        self._counts = counts
        self._pending: Counter[str] = Counter()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._flushed_s = time.monotonic()
        self._attempts = metrics.Counter(
            "agentray_attempts", "Attempts that have their result.", tag_keys=("env", "status")
        )
        self._counters = {
            name: metrics.Counter(f"agentray_{name}", about)
            for name, about in (
                ("turns", "Replies that are on the disk."),
                ("completion_tokens", "Tokens sampled."),
                ("retries", "Leases that failed and were handed out again."),
                ("lost_workers", "Rollout workers that died."),
                ("late_results", "Results of a lease that no longer counted."),
            )
        }
        self._running = metrics.Gauge("agentray_attempts_running", "Attempts that are with a worker.")
        self._durations = metrics.Histogram(
            "agentray_episode_seconds", "Length of an episode.", boundaries=_SECONDS, tag_keys=("env",)
        )
        self._limits = metrics.Gauge(
            "agentray_endpoint_limit",
            "Requests an endpoint may get at once.",
            tag_keys=("worker", "endpoint"),
        )

    def turn(self, lease: Lease, entry: Entry) -> None:
        """A turn is on the disk."""
        self._pending["turns"] += 1
        self._pending["completion_tokens"] += entry.tokens
        self._counts.turn(lease, entry)

    def end(self, lease: Lease, result: EpisodeResult) -> None:
        """An attempt has its result."""
        env = lease.attempt.task.env
        self._ended[env, result.status] += 1
        self._durations.observe(result.duration_s, {"env": env})
        self._counts.end(lease, result)

    def retry(self, lease: Lease, result: EpisodeResult) -> None:
        """A lease failed."""
        self._pending["retries"] += 1
        self._counts.retry(lease, result)

    def worker_died(self, worker: int, leases: Sequence[Lease], why: str) -> None:
        """A worker died."""
        self._pending["lost_workers"] += 1
        self._counts.worker_died(worker, leases, why)

    def late_result(self, key: str, lease: int) -> None:
        """A result came too late."""
        self._pending["late_results"] += 1
        self._counts.late_result(key, lease)

    def endpoints(self, worker: int, stats: Sequence[EndpointStats]) -> None:
        """How a worker's endpoints are doing; called often."""
        self._counts.endpoints(worker, stats)
        if time.monotonic() - self._flushed_s >= _FLUSH_EVERY_S:
            for each in stats:
                self._limits.set(each.limit, {"worker": str(worker), "endpoint": each.name})
            self.flush()

    def flush(self) -> None:
        """Hand the counts to Ray."""
        self._flushed_s = time.monotonic()
        for name, count in self._pending.items():
            if count:
                self._counters[name].inc(count)
        for (env, status), count in self._ended.items():
            self._attempts.inc(count, {"env": env, "status": status})
        self._pending.clear()
        self._ended.clear()
        self._running.set(len(self._counts.running()))
