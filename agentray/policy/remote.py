"""A policy that lives in another actor: one model engine shared by all rollout workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentray.types import Message, Reply, Sampling


class RemotePolicy:
    """Forwards to an actor whose class is a policy.

    Args:
        handle: A Ray actor handle; only `handle.act.remote` is used, so this module needs no Ray.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def ready(self) -> None:
        """Wait for the actor's policy."""
        await self._handle.ready.remote()

    async def act(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """The actor's reply."""
        reply: Reply = await self._handle.act.remote(messages, sampling)
        return reply

    async def close(self) -> None:
        """Nothing to release: the actor belongs to the pool."""
