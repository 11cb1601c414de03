"""The rules of `agentray filter`: each keeps a trajectory, or says in a word why not."""

from __future__ import annotations

import hashlib
from collections import Counter

from pydantic import Field

from agentray.transforms.base import Rule
from agentray.transforms.context import Context
from agentray.types import Trajectory


class Completed(Rule):
    """Reject attempts that a limit or an infrastructure failure ended."""

    def reason(self, trajectory: Trajectory, context: Context) -> str | None:
        """`truncated` or `failed`."""
        return None if trajectory.status == "completed" else trajectory.status


class MinReward(Rule):
    """Reject attempts below a reward, and those without one."""

    class Settings(Rule.Settings):
        """Which reward is enough."""

        threshold: float | None = None
        """Least reward; None takes what each run had, or else its environment's own."""

    settings: Settings

    def reason(self, trajectory: Trajectory, context: Context) -> str | None:
        """`unscored` or `low_reward`."""
        if trajectory.reward is None:
            return "unscored"
        threshold = self.settings.threshold
        if threshold is None:
            threshold = context.reward_threshold
        return None if trajectory.reward >= threshold else "low_reward"


class HasReplies(Rule):
    """Reject attempts that would train on nothing: no turn, or an empty reply."""

    def reason(self, trajectory: Trajectory, context: Context) -> str | None:
        """`no_turns` or `empty_reply`."""
        if not trajectory.turns:
            return "no_turns"
        return None if all(turn.reply.text.strip() for turn in trajectory.turns) else "empty_reply"


class Distinct(Rule):
    """Reject an attempt whose replies repeat, byte for byte, those of an earlier one on an equal task."""

    def __init__(self, settings: Rule.Settings) -> None:
        super().__init__(settings)
        self._seen: set[bytes] = set()

    def reason(self, trajectory: Trajectory, context: Context) -> str | None:
        """`duplicate`."""
        content = "\x00".join([trajectory.task.fingerprint, *(turn.reply.text for turn in trajectory.turns)])
        digest = hashlib.blake2b(content.encode(errors="replace"), digest_size=16).digest()
        if digest in self._seen:
            return "duplicate"
        self._seen.add(digest)
        return None


class MaxPerTask(Rule):
    """Keep the best attempts at each task."""

    best_first = True

    class Settings(Rule.Settings):
        """How many are kept."""

        limit: int = Field(1, ge=1)
        """Most attempts per task."""

    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._kept: Counter[tuple[str, str]] = Counter()

    def reason(self, trajectory: Trajectory, context: Context) -> str | None:
        """`task_quota`."""
        task = (trajectory.task.env, trajectory.task.fingerprint)
        if self._kept[task] >= self.settings.limit:
            return "task_quota"
        self._kept[task] += 1
        return None
