"""What a step over stored trajectories is, ours and a plugin's alike.

A transform is a class with one method: it takes a trajectory and returns it, changed or not, or why it is
not kept. `agentray transform` chains them by name:

    class Short(Rule):
        "Keep what was won in a few turns."

        class Settings(Rule.Settings):
            most: int = 3

        settings: Settings

        def reason(self, trajectory, context):
            return None if len(trajectory.turns) <= self.settings.most else "long"
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar

from agentray import config
from agentray.config.loading import validated
from agentray.errors import UsageError
from agentray.plugins import Seam
from agentray.transforms.context import Context
from agentray.types import Rejection, Trajectory

Outcome = Trajectory | Rejection
"""Kept, perhaps changed; or why not."""

TRANSFORMS = Seam(
    "transform",
    {
        "completed": "agentray.transforms.rules:Completed",
        "distinct": "agentray.transforms.rules:Distinct",
        "has_replies": "agentray.transforms.rules:HasReplies",
        "max_per_task": "agentray.transforms.rules:MaxPerTask",
        "min_reward": "agentray.transforms.rules:MinReward",
        "rescore": "agentray.transforms.rescore:Rescore",
    },
    "give --apply one of these, or install the plugin that brings it",
)


class Transform:
    """One step. A subclass has its `__call__`, and its `Settings` where it has any.

    `__call__` may be `async`: then up to `in_flight` trajectories are in it at once, and what it returned is
    not asked for again when an interrupted chain goes on. Other transforms see one trajectory after the
    other, always in the same order: the best reward first, equal ones by key.

    Args:
        settings: The checked settings.
    """

    best_first: ClassVar[bool] = False
    """Whether it depends on that order after steps that change rewards: what they kept is ordered anew."""

    class Settings(config.Settings):
        """What a user may set: `[transform.settings.NAME]`."""

    settings: Settings

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __call__(self, trajectory: Trajectory, context: Context) -> Outcome | Awaitable[Outcome]:
        """The trajectory to go on with, or why it is not kept.

        Args:
            trajectory: A stored attempt, or what earlier steps made of it.
            context: Its environment, and a policy to ask.
        """
        raise NotImplementedError


class Rule(Transform):
    """A transform that keeps a trajectory as it is, or rejects it."""

    def reason(self, trajectory: Trajectory, context: Context) -> str | None:
        """One word that says why it is rejected, for counting; None keeps it."""
        raise NotImplementedError

    def __call__(self, trajectory: Trajectory, context: Context) -> Outcome:
        """See `Transform`."""
        reason = self.reason(trajectory, context)
        return trajectory if reason is None else Rejection(trajectory.key, reason)


def make(name: str, settings: Mapping[str, Any] | None = None) -> Transform:
    """A transform by name.

    Args:
        name: As it is registered.
        settings: Its settings, unchecked.

    Raises:
        UsageError: The name or a setting is unknown, a value is wrong, or what is registered is not a
            transform.
        MissingDependencyError: It cannot be imported.
    """
    kind = TRANSFORMS.load(name)
    if not (isinstance(kind, type) and issubclass(kind, Transform)):
        raise UsageError(
            f"{name!r} is not a transform",
            f"{TRANSFORMS.entry_point(name)} is {kind!r}",
            "register a subclass of agentray.transforms.Transform",
        )
    return kind(validated(kind.Settings, f"transform.settings.{name}", settings or {}))
