"""Filters: pure functions from a trajectory to a reason for rejecting it, or None to keep it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agentray.types import Trajectory

Filter = Callable[[Trajectory], str | None]


def min_reward(trajectory: Trajectory, *, threshold: float) -> str | None:
    """Reject trajectories scored below `threshold`, and those with no score."""
    if trajectory.reward is None:
        return "unscored"
    return None if trajectory.reward >= threshold else "low_reward"


def finished(trajectory: Trajectory) -> str | None:
    """Reject attempts that a limit or the machinery ended."""
    return None if trajectory.status == "completed" else trajectory.status


def has_replies(trajectory: Trajectory) -> str | None:
    """Reject trajectories that would train on nothing: no turn, or an empty reply."""
    if not trajectory.turns:
        return "no_turns"
    return None if all(turn.reply.text.strip() for turn in trajectory.turns) else "empty_reply"


class DropDuplicates:
    """Reject a trajectory whose replies repeat, byte for byte, those of a kept one on an equal task."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def __call__(self, trajectory: Trajectory) -> str | None:
        """`duplicate`, or None the first time."""
        content = "\x00".join([trajectory.task.fingerprint, *(turn.reply.text for turn in trajectory.turns)])
        digest = hashlib.blake2b(content.encode(errors="replace"), digest_size=16).digest()
        if digest in self._seen:
            return "duplicate"
        self._seen.add(digest)
        return None


class MaxPerTask:
    """Reject what exceeds a number of kept trajectories per task; feed it the best rewards first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: Counter[tuple[str, str]] = Counter()

    def __call__(self, trajectory: Trajectory) -> str | None:
        """`task_quota`, or None while the task has room."""
        task = (trajectory.task.env, trajectory.task.fingerprint)
        if self._kept[task] >= self._limit:
            return "task_quota"
        self._kept[task] += 1
        return None


@dataclass(frozen=True)
class Filtered:
    """Outcome of filtering: `read == len(kept) + sum(rejected.values())`."""

    read: int
    kept: list[Trajectory]
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Count by reason; a trajectory counts under the first reason that rejects it."""
    reasons: Sequence[tuple[str, str]] = ()
    """Trajectory key and reason of each that was rejected; runs may share keys."""


def apply(trajectories: Iterable[Trajectory], filters: Mapping[str, list[Filter]]) -> Filtered:
    """Run each trajectory through its environment's filters, in order.

    Args:
        trajectories: What to filter; looked at best reward first, so that quotas keep the best.
        filters: Filters by environment id.
    """
    ranked = sorted(trajectories, key=lambda each: (-(each.reward or 0.0), each.key))
    kept: list[Trajectory] = []
    reasons: list[tuple[str, str]] = []
    for trajectory in ranked:
        reason = next((why for rule in filters[trajectory.task.env] if (why := rule(trajectory))), None)
        if reason is None:
            kept.append(trajectory)
        else:
            reasons.append((trajectory.key, reason))
    return Filtered(len(ranked), kept, dict(Counter(reason for _, reason in reasons)), reasons)
