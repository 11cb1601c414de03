"""The policy contract: from a conversation to the next reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agentray.types import Message, Reply, Sampling


class Policy(Protocol):
    """Whatever acts: an expert, a model engine, an endpoint."""

    async def ready(self) -> None:
        """Return when the policy can act; called once, before any episode.

        Raises:
            PolicyError: It never will: a wrong address, key or model.
        """

    async def act(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """Reply to a conversation that ends with a user message.

        Raises:
            PolicyError: It cannot answer, and asking again will not help. `what` starting with "context
            limit"
                means that the conversation is too long.
        """

    async def close(self) -> None:
        """Release what the policy holds."""
