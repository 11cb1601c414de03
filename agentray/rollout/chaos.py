"""Faults on purpose: what a user's own run does when things break.

    agentray rollout ... --chaos kill-actor=0.05,http-500=0.1

`kill-actor` is a chance per episode, the others are chances per model call.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from agentray.errors import OverloadedError, UnavailableError, UsageError, closest
from agentray.policy.base import Policy
from agentray.types import Message, Reply, Sampling

KINDS = ("kill-actor", "kill-engine", "http-429", "http-500", "timeout", "garbage", "truncated")
_KILL_WITHIN_S = 1.0


def parse(text: str) -> dict[str, float]:
    """The rates in `kind=rate,kind=rate`.

    Raises:
        UsageError: The text is not of this form.
    """
    try:
        return {kind.strip(): float(rate) for kind, rate in (part.split("=") for part in text.split(","))}
    except ValueError as error:
        raise UsageError(
            f"cannot read --chaos {text!r}", str(error), "write --chaos kill-actor=0.05,http-500=0.1"
        ) from error


class Chaos:
    """A source of faults.

    Args:
        rates: Chance of each kind, in [0, 1].

    Raises:
        UsageError: A kind is unknown, or a rate is no probability.
    """

    def __init__(self, rates: Mapping[str, float]) -> None:
        for kind, rate in rates.items():
            if kind not in KINDS:
                raise UsageError(f"unknown kind of chaos {kind!r}", closest(kind, KINDS), "correct --chaos")
            if not 0 <= rate <= 1:
                raise UsageError(f"chaos {kind}={rate}", "it is a probability", "give a number from 0 to 1")
        self.rates = dict(rates)

    def strikes(self, kind: str) -> bool:
        """Whether this fault happens now."""
        rate = self.rates.get(kind, 0.0)
        return rate > 0 and random.random() < rate

    def begin(self) -> None:
        """An episode begins: perhaps this process will not see its end."""
        if self.strikes("kill-actor"):
            loop = asyncio.get_running_loop()
            loop.call_later(random.uniform(0, _KILL_WITHIN_S), os.kill, os.getpid(), signal.SIGKILL)

    def policy(self, endpoint: Policy) -> Policy:
        """The endpoint, made unreliable."""
        return _Unreliable(endpoint, self) if self.rates else endpoint


class _Unreliable:
    """A policy whose calls fail now and then, as a real endpoint's do."""

    def __init__(self, inner: Any, chaos: Chaos) -> None:
        self._inner, self._chaos = inner, chaos

    async def ready(self) -> None:
        await self._inner.ready()

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        kill = getattr(self._inner, "kill", None)
        if kill is not None and self._chaos.strikes("kill-engine"):
            kill()
        for kind in ("http-429", "timeout"):
            if self._chaos.strikes(kind):
                raise OverloadedError(f"chaos: {kind}", "injected by --chaos", "leave --chaos out")
        for kind in ("http-500", "garbage"):
            if self._chaos.strikes(kind):
                raise UnavailableError(f"chaos: {kind}", "injected by --chaos", "leave --chaos out")
        reply: Reply = await self._inner.act(messages, sampling, info)
        if self._chaos.strikes("truncated"):
            raise UnavailableError("chaos: truncated answer", "injected by --chaos", "leave --chaos out")
        return reply

    async def close(self) -> None:
        await self._inner.close()
