"""One policy made of several endpoints: spreads the load, tries again, and goes round what is broken.

All turns of an episode, and all attempts at a task, begin with the same prompt. They go to the same endpoint,
where the prompt is cached, unless it has too much to do: rendezvous hashing with bounded loads.

Sources: Thaler and Ravishankar 1998, IEEE/ACM ToN 6(1); Mirrokni et al. 2018, arXiv:1608.01350.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from agentray.errors import (
    LoadingError,
    OverloadedError,
    PolicyError,
    ReplyError,
    UnavailableError,
)
from agentray.policy.backoff import pause_s
from agentray.policy.base import Policy
from agentray.policy.limiter import Limiter
from agentray.types import Message, Reply, Sampling, Source

_RETRIES = 6
_REPLY_RETRIES = 2
"""How often a conversation is asked again where the endpoint works but sent no reply."""
_LOADING_S = 600.0
"""How long an endpoint that says it is loading is asked again without counting the tries."""
_BREAK_AFTER = 8
"""Failures in a row after which an endpoint rests, if they are as many as its requests in flight: with many,
failures arrive in bursts before replies that take their time."""
_FIRST_REST_S = 2.0
_LONGEST_REST_S = 30.0
_LONGEST_TOLD_S = 300.0
"""Longest rest that an endpoint may ask for with `Retry-After`."""
_SLACK_S = 0.1
_CROWDED = 1.25
"""Load of an endpoint, relative to its fair share, from which others are preferred."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """How an endpoint is doing; counts are since the start."""

    name: str
    in_flight: int
    limit: int
    """How many requests it may get at once now."""
    calls: int
    """Requests sent, retries included."""
    retries: int
    """Requests that repeated a failed one, here or elsewhere."""
    overloads: int
    """Requests that it had no capacity for, or did not answer in time."""
    failures: int
    """Requests that failed otherwise and were worth a retry."""
    adapted: tuple[str, ...] = ()
    """What it is asked differently, because it refused the usual way."""
    source: Source | None = None
    """Who answered last, as it says itself."""


class Router:
    """Asks one of several equal endpoints, and asks again when that fails.

    Args:
        endpoints: Policies by name.
        in_flight: Most requests at once per endpoint.
        request_timeout_s: Longest wait for one answer.
        adaptive: Whether to find out how many requests an endpoint takes; an engine that batches by itself
            gets all `in_flight`.
        answers_as: Model that replies must name, where they name one; None takes the first that one does.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Policy],
        *,
        in_flight: int,
        request_timeout_s: float,
        adaptive: bool = True,
        answers_as: str | None = None,
    ) -> None:
        self._endpoints = [
            _Endpoint(name, policy, _limiter(in_flight, adaptive)) for name, policy in endpoints.items()
        ]
        self._timeout_s = request_timeout_s
        self._model = answers_as
        self._source: Source | None = None

    async def ready(self) -> None:
        """Wait until every endpoint can act or is known not to; one is enough.

        Raises:
            PolicyError: An endpoint never will.
            UnavailableError: None can now.
        """
        checks = [asyncio.create_task(each.check()) for each in self._endpoints]
        try:
            failures = await asyncio.gather(*checks)
        finally:
            for check in checks:
                check.cancel()
            await asyncio.gather(*checks, return_exceptions=True)
        first = failures[0]
        if first is not None and None not in failures:
            raise first
        for endpoint, failure in zip(self._endpoints, failures, strict=True):
            if failure is not None:
                endpoint.break_off(f"{failure.what}: {failure.why}")

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """The reply of the endpoint that knows the prompt, or of another when that one cannot.

        Raises:
            PolicyError: An endpoint refuses.
            UnavailableError: No endpoint answered, in a bounded number of tries.
        """
        key = _prompt_key(messages) if len(self._endpoints) > 1 else b""
        tried: list[_Endpoint] = []
        failure: UnavailableError | None = None
        endpoint = self._endpoints[0]
        attempt = not_replies = 0
        loading_until_s: float | None = None
        while attempt <= _RETRIES:
            attempt += 1
            endpoint = self._choose(key, tried)
            if not await endpoint.enter():
                continue
            endpoint.retries += bool(tried)
            tried.append(endpoint)
            try:
                reply = await endpoint.ask(messages, sampling, info, self._timeout_s)
                if reply.source is not self._source:
                    self._check_source(reply.source)
                return reply
            except ReplyError as error:
                failure, not_replies = error, not_replies + 1
                if not_replies > _REPLY_RETRIES:
                    raise
            except LoadingError as error:
                failure = error
                loading_until_s = loading_until_s or time.monotonic() + _LOADING_S
                attempt -= time.monotonic() < loading_until_s
            except UnavailableError as error:
                failure = error
            if attempt <= _RETRIES:
                await _pause(endpoint.name, len(tried), failure)
        why = f"it does not recover: {endpoint.trouble}"
        if failure is not None:
            why = f"{len(tried)} tries; the last one: {failure.what}: {failure.why}"
        raise UnavailableError(
            f"{endpoint.name} does not answer", why, "check that it runs and is not overloaded"
        ) from failure

    async def close(self) -> None:
        """Close all endpoints."""
        closing = (each.policy.close() for each in self._endpoints)
        for result in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(result, Exception):
                _log.warning("an endpoint did not close: %r", result)

    def stats(self) -> tuple[EndpointStats, ...]:
        """How each endpoint is doing."""
        return tuple(each.stats() for each in self._endpoints)

    def _check_source(self, source: Source | None) -> None:
        """Note who answers.

        Raises:
            PolicyError: It is another model than before.
        """
        self._source = source
        model = None if source is None else source.model
        if source is None or model is None:
            return
        if self._model is not None and model != self._model:
            raise PolicyError(
                f"{source.address} answers as the model {model!r}",
                f"earlier replies of this run are by {self._model!r}",
                "serve that model again, or name one with --model NAME and give another --out",
            )
        self._model = model

    def _choose(self, key: bytes, tried: Sequence[_Endpoint]) -> _Endpoint:
        """Best: not resting, not tried before, not crowded, highest in the order that the prompt decides."""
        if len(self._endpoints) == 1:
            return self._endpoints[0]
        now = time.monotonic()
        awake = [each for each in self._endpoints if each.resting_until_s <= now]
        if not awake:
            return min(self._endpoints, key=lambda each: each.resting_until_s)
        fair = _CROWDED * sum(each.load for each in awake) / sum(each.limiter.limit for each in awake)
        return min(
            awake,
            key=lambda each: (
                tried.count(each),
                each.load > fair * each.limiter.limit + 1,
                blake2b(key, digest_size=8, salt=each.salt).digest(),
            ),
        )


class _Endpoint:
    """A policy with its limiter, its circuit breaker and its counts."""

    def __init__(self, name: str, policy: Policy, limiter: Limiter) -> None:
        self.name, self.policy, self.limiter = name, policy, limiter
        self.salt = blake2b(name.encode(), digest_size=blake2b.SALT_SIZE).digest()
        self.load = 0  # requests in flight or waiting for a slot
        self.calls = self.retries = self.overloads = self.failures = 0
        self.resting_until_s = 0.0
        self.trouble = ""
        """Why it rested last."""
        self._told_until_s = 0.0
        self.source: Source | None = None
        self._failed_in_row = 0
        self._broken_at_s: float | None = None
        self._rest_s = _FIRST_REST_S
        self._answered = asyncio.Event()

    async def check(self) -> UnavailableError | None:
        """Wait until it can act; what is in the way, where that may pass."""
        try:
            await self.policy.ready()
        except (UnavailableError, OSError) as error:
            return _unavailable(self.name, error)
        return None

    async def enter(self) -> bool:
        """Wait for a slot; False, and no slot, when it turns out that it should not be asked now."""
        if self._resting and not await self._rested():
            return False
        probe = self._broken_at_s is not None
        if probe:
            self._rest(self._rest_s)  # for all but this request, which finds out whether it works again
        self.load += 1
        try:
            await self.limiter.acquire()
        except asyncio.CancelledError:
            self.load -= 1
            raise
        if self._resting and not probe:  # since this request began to wait
            self._leave(None)
            return False
        return True

    async def ask(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        info: Mapping[str, Any],
        timeout_s: float,
    ) -> Reply:
        """One try, after `enter`.

        Raises:
            PolicyError: It refuses.
            UnavailableError: It failed in a way that may pass.
        """
        self.calls += 1
        started = time.monotonic()
        latency_s: float | None = None
        overloaded = False
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self.policy.act(messages, sampling, info)
            self.source = reply.source
            latency_s = time.monotonic() - started
            self._answer()
            return reply
        except (PolicyError, ReplyError):
            self._answer()
            raise
        except (UnavailableError, OSError) as error:
            failure = _unavailable(self.name, error)
            overloaded = isinstance(failure, OverloadedError)
            latency_s = time.monotonic() - started if overloaded else None
            self._fail(failure, started)
            if failure is error:
                raise
            raise failure from error
        finally:
            self._leave(latency_s, overloaded)

    def break_off(self, why: str) -> None:
        """Rest after failures; then one request at a time may try, until one succeeds."""
        self._broken_at_s, self.trouble = time.monotonic(), why
        self._rest(self._rest_s)
        _log.warning("%s rests for %g s: %s", self.name, self._rest_s, why)

    def stats(self) -> EndpointStats:
        """How it is doing."""
        return EndpointStats(
            name=self.name,
            in_flight=self.limiter.in_flight,
            limit=self.limiter.limit,
            calls=self.calls,
            retries=self.retries,
            overloads=self.overloads,
            failures=self.failures,
            adapted=getattr(self.policy, "adapted", ()),
            source=self.source,
        )

    @property
    def _resting(self) -> bool:
        """Whether it should not be asked now."""
        return self.resting_until_s > 0 and time.monotonic() < self.resting_until_s

    async def _rested(self) -> bool:
        """Wait, but not for ever, until it answers again or its rest is over; whether it may be asked now."""
        deadline_s = max(time.monotonic() + _LONGEST_REST_S, self._told_until_s + _SLACK_S)
        while self._resting and time.monotonic() < deadline_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self.resting_until_s, deadline_s) - time.monotonic()):
                    await self._answered.wait()
        return not self._resting

    def _rest(self, seconds: float) -> None:
        """Take no requests for a while."""
        self.resting_until_s = max(self.resting_until_s, time.monotonic() + seconds)
        self._answered.clear()

    def _leave(self, latency_s: float | None, overloaded: bool = False) -> None:
        self.load -= 1
        self.limiter.release(latency_s, overloaded=overloaded)

    def _answer(self) -> None:
        """It works."""
        self._failed_in_row = 0
        if self._broken_at_s is not None:
            self._broken_at_s = None
            self._rest_s = _FIRST_REST_S
            self.resting_until_s = 0.0
            self._answered.set()

    def _fail(self, failure: UnavailableError, started_s: float) -> None:
        """Count a failure; too many in a row, or one of the request that tries it out, break it off."""
        if isinstance(failure, OverloadedError):
            self.overloads += 1
            if isinstance(failure, LoadingError):
                return
            if failure.retry_after_s > 0:
                seconds = min(failure.retry_after_s, _LONGEST_TOLD_S)
                self._told_until_s = time.monotonic() + seconds
                self._rest(seconds)
        else:
            self.failures += 1
        self._failed_in_row += 1
        if self._broken_at_s is not None:
            if started_s <= self._broken_at_s:  # sent before
                return
            self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)
        elif self._failed_in_row < max(_BREAK_AFTER, self.limiter.in_flight):
            return
        self.break_off(f"{self._failed_in_row} failures in a row, the last: {failure.what}: {failure.why}")


def _limiter(in_flight: int, adaptive: bool) -> Limiter:
    return Limiter(in_flight) if adaptive else Limiter(in_flight, in_flight, adaptive=False)


def _prompt_key(messages: Sequence[Message]) -> bytes:
    """Hash of what precedes the first reply; equal in all processes."""
    digest = blake2b(digest_size=16)
    for message in messages:
        if message.loss:
            break
        digest.update(message.content.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.digest()


async def _pause(name: str, tries: int, failure: UnavailableError) -> None:
    """Wait before the next try."""
    seconds = pause_s(tries)
    _log.info("%s: %s: %s; try %d in %.1f s", name, failure.what, failure.why, tries + 1, seconds)
    await asyncio.sleep(seconds)


def _unavailable(name: str, error: UnavailableError | OSError) -> UnavailableError:
    """What a failure means to the router."""
    if isinstance(error, UnavailableError):
        return error
    if isinstance(error, TimeoutError):
        return OverloadedError(
            f"{name} did not answer in time", str(error) or "time-out", "allow it more time"
        )
    return UnavailableError(f"{name} cannot be reached", repr(error), "check that it runs")
