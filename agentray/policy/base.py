"""The policy contract: from a conversation to the next reply.

A plugin is a subclass of `BasePolicy` and one line under `[project.entry-points."agentray.policies"]`; then
`agentray rollout --policy NAME` uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from agentray import config
from agentray.types import Message, Reply, Sampling, Shared


class Policy(Protocol):
    """Whatever acts: an expert, a model engine, an endpoint, several of these behind a router."""

    async def ready(self) -> None:
        """Return when the policy can act; called once, before any reply.

        Raises:
            PolicyError: It never will: a wrong address, key or model.
            UnavailableError: It cannot act now.
        """

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """Reply to a conversation that ends with a user message.

        After an interruption the recorded replies are played again without the policy, so a reply must follow
        from the arguments, not from earlier calls.

        Args:
            messages: The conversation.
            sampling: How to draw the reply.
            info: The last `info` of the environment.

        Raises:
            ContextLimitError: The conversation is too long; the attempt ends as truncated.
            PolicyError: It cannot answer, and asking again will not help.
            UnavailableError: It cannot answer now.
        """

    async def close(self) -> None:
        """Release what the policy holds."""


class BasePolicy(Policy):
    """A policy with a name: what plugins subclass.

    Args:
        settings: Those of `Settings`; the run's `policy_settings`, checked.
    """

    class Settings(config.Settings):
        """What `rollout.policy_settings` may hold; subclasses add fields."""

    paid: ClassVar[bool] = True
    """Whether replies cost something: each is on disk before the next is asked for; none is paid twice."""
    knows_task: ClassVar[bool] = False
    """Whether the constructor also takes `environment`, `task` and `seed`, before the settings; then `shared`
    is "attempt". It is called once per task, and also to find out whether the environment supports it."""
    shared: ClassVar[Shared] = "worker"
    """Built once per "attempt", per "worker", or per "run", in an actor of its own that all workers share."""

    settings: Any
    """An instance of `Settings`."""

    def __init__(self, **settings: Any) -> None:
        self.settings = self.Settings(**settings)

    async def ready(self) -> None:
        """Return at once."""

    async def close(self) -> None:
        """Nothing to release."""
