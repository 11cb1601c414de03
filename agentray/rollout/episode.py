"""One episode: a policy and an environment take turns until the task ends. Plain asyncio, no Ray.

Every turn is an entry of the journal before the next reply is asked for, so that no reply is paid for twice.
An episode that was interrupted is rebuilt: its recorded replies are played again, and the digest of the state
after each must be the recorded one.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from agentray.data.journal import Entry, History, begun, ended, history, turned
from agentray.env import Environment
from agentray.errors import ContextLimitError, PolicyError, PromptError, ReplyError, UnavailableError
from agentray.policy.base import Policy
from agentray.policy.thoughts import answer_of
from agentray.rollout.hosting import Host, Session
from agentray.rollout.orders import Fault, Order, Outcome
from agentray.types import Message, Reply, Sampling, Status, Turn


class Recorder(Protocol):
    """Where an episode's entries go."""

    def write(self, entry: Entry) -> None:
        """Take an entry."""

    async def durable(self) -> None:
        """Wait until the entries so far are safe."""


@dataclass(frozen=True)
class _End:
    status: Status
    error: str | None = None
    fault: Fault | None = None
    refusal: tuple[str, str, str] | None = None


class _Mismatch(Exception):
    """A rebuilt episode is not the recorded one."""


class Episode:
    """One attempt while it runs.

    Args:
        order: What is tried, and what is recorded of it.
        host: Its environment.
        policy: Who acts.
        sampling: How replies are drawn; seed and temperature are the attempt's.
        timeout_s: Longest life of the episode: reset, every step and reply.
        recorder: Where its entries go.
    """

    def __init__(
        self,
        order: Order,
        host: Host,
        policy: Policy,
        sampling: Sampling,
        timeout_s: float,
        recorder: Recorder,
    ) -> None:
        self._attempt, self._lease = order.attempt, order.lease
        self._recorded = history(order.recorded) if order.recorded else None
        self._host = host
        self._environment: Environment = host.environment
        self._policy = policy
        self._sampling = replace(sampling, seed=order.attempt.seed, temperature=order.attempt.temperature)
        self._timeout_s = timeout_s
        self._recorder = recorder
        self._prompt: tuple[Message, ...] = ()
        self._turns: list[Turn] = []
        self._metrics: dict[str, float] = {}
        self._replayed = 0
        self._mismatch: str | None = None
        self._fault: Fault = "environment"
        """Whom the episode waits for, and so who is at fault if it fails."""

    async def run(self) -> Outcome:
        """Play to the end; an `Exception` is in the outcome, never raised.

        A failure of the machinery leaves the reward None: it is not the policy's failure.
        """
        started = time.monotonic()
        try:
            end = await self._attempted()
        except Exception as problem:
            end = _failure(problem, self._fault)
        return self._outcome(end, time.monotonic() - started)

    async def _attempted(self) -> _End:
        """Rebuild the recorded episode and go on; or play from the start."""
        if self._recorded is not None:
            try:
                return await self._in_session(self._recorded)
            except _Mismatch as mismatch:
                self._mismatch = str(mismatch)
                self._turns, self._replayed = [], 0
        return await self._in_session(None)

    async def _in_session(self, recorded: History | None) -> _End:
        async with self._host.session() as session:
            deadline = asyncio.timeout(self._timeout_s)
            try:
                async with deadline:
                    return await self._play(session, recorded)
            except TimeoutError:
                if not deadline.expired():  # the environment's own
                    raise
                return _End("failed", f"the episode took longer than {self._timeout_s:g} s", self._fault)

    async def _play(self, session: Session, recorded: History | None) -> _End:
        task = self._attempt.task
        observation, info = await session.reset(self._attempt.seed, task)
        self._metrics = metrics_of(info)
        opening = (*self._environment.instruction(task), Message("user", observation))
        self._prompt = tuple(replace(each, content=text_of(each.content)) for each in opening)
        state = digest(observation, 0.0, False, info)
        if recorded is None:
            self._recorder.write(
                begun(self._attempt.trajectory("failed", prompt=self._prompt), self._lease, state)
            )
        elif (recorded.prompt, recorded.state) != (self._prompt, state):
            raise _Mismatch("the first observation differs")
        messages = list(self._prompt)
        for turn in recorded.turns if recorded else ():
            end, seen = await self._step(session, turn, messages)
            if self._turns[-1].state != turn.state:
                raise _Mismatch(f"the state after turn {len(self._turns)} differs")
            self._replayed += 1
            if end is not None:
                return end
            info = dict(seen)
        return await self._turns_from(session, messages, info)

    async def _turns_from(self, session: Session, messages: list[Message], info: Mapping[str, Any]) -> _End:
        """Ask, act and record until the episode ends."""
        while len(self._turns) < self._environment.max_turns:
            await self._recorder.durable()
            self._fault = "policy"
            try:
                reply = await self._policy.act(messages, self._sampling, info)
            except ContextLimitError as full:
                error = text_of(f"{type(full).__name__}: {full.what}")
                return _End("truncated", error, None, (full.what, full.why, full.fix))
            if not reply.text.isascii():
                reply = replace(reply, text=text_of(reply.text))
            self._fault = "environment"
            end, info = await self._step(session, Turn(reply, None, ""), messages)
            index = len(self._turns) - 1
            self._recorder.write(turned(self._attempt.key, self._lease, index, self._turns[index]))
            if end is not None:
                return end
        return _End("truncated", f"{self._environment.max_turns} turns")

    async def _step(
        self, session: Session, turn: Turn, messages: list[Message]
    ) -> tuple[_End | None, Mapping[str, Any]]:
        """Give a turn's reply to the environment; its end of the episode, if it is one, and its info."""
        reply = turn.reply
        observation, reward, terminated, truncated, info = await session.step(answer_of(reply.text))
        over = terminated or truncated
        self._metrics = metrics_of(info)
        self._turns.append(turn_of(reply, observation, reward, over, info))
        if over:
            return (_End("completed") if terminated else _End("truncated", "the environment's limit")), info
        messages += [
            Message("assistant", reply.text, loss=True, token_ids=reply.token_ids),
            Message("user", self._turns[-1].observation),
        ]
        return None, info

    def _outcome(self, end: _End, duration_s: float) -> Outcome:
        reward = None if end.status == "failed" else sum(turn.reward for turn in self._turns)
        trajectory = replace(
            self._attempt.trajectory(end.status, error=end.error),
            turns=tuple(self._turns),
            reward=reward,
            duration_s=duration_s,
            metrics=self._metrics,
        )
        return Outcome(
            key=self._attempt.key,
            lease=self._lease,
            env=self._attempt.env,
            status=end.status,
            reward=reward,
            error=end.error,
            duration_s=duration_s,
            num_turns=len(self._turns),
            end=ended(trajectory, self._lease),
            fault=end.fault,
            refusal=end.refusal,
            replayed=self._replayed,
            mismatch=self._mismatch,
        )


def turn_of(reply: Reply, observation: str, reward: float, over: bool, info: Mapping[str, Any]) -> Turn:
    """A step of the environment as it is recorded.

    Raises:
        TypeError: Observation or action is no text.
        ValueError: The reward is not finite.
    """
    if not math.isfinite(reward):
        raise ValueError(f"the environment gave the reward {reward!r}")
    state = digest(observation, reward, over, info)
    shown, action = text_of(observation), info.get("action")
    action = None if action is None else text_of(action)
    return Turn(reply, action, "" if over else shown, float(reward), state)


def digest(observation: str, reward: float, over: bool, info: Mapping[str, Any]) -> str:
    """Digest of what the environment showed, and of the hidden state where it tells: 16 hex digits."""
    shown = repr((observation, float(reward), over, info.get("action"), info.get("state")))
    return hashlib.blake2b(shown.encode("utf-8", errors="surrogatepass"), digest_size=8).hexdigest()


def failed(order: Order, problem: BaseException) -> Outcome:
    """The outcome of an order that could not even be played."""
    attempt = order.attempt
    end = _failure(problem, "policy" if isinstance(problem, UnavailableError) else "environment")
    line = ended(attempt.trajectory("failed", error=end.error), order.lease)
    outcome = Outcome(attempt.key, order.lease, attempt.env, "failed", None, end.error, 0.0, 0, line)
    return outcome._replace(fault=end.fault, refusal=end.refusal)


def _failure(problem: BaseException, fault: Fault) -> _End:
    """How an episode ends that raised this while it waited for the one at `fault`."""
    match problem:
        case PromptError():
            return _End("failed", _line(problem), "prompt", (problem.what, problem.why, problem.fix))
        case PolicyError():
            return _End("failed", _line(problem), "refused", (problem.what, problem.why, problem.fix))
        case ReplyError():
            return _End("failed", _line(problem), "reply")
    return _End("failed", _line(problem), fault)


def text_of(told: Any) -> str:
    """A text as files can hold it: without halves of surrogate pairs.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(told, str):
        raise TypeError(f"the environment gave {told!r:.100} where text belongs")
    return told if told.isascii() else told.encode("utf-8", "replace").decode()


def metrics_of(info: Mapping[str, Any]) -> dict[str, float]:
    """Further scores of the environment, as plain numbers."""
    return {str(name): float(value) for name, value in info.get("metrics", {}).items()}


def _line(problem: BaseException) -> str:
    try:
        told = " / ".join(str(problem).split("\n"))
    except Exception:
        told = "(it does not say what)"
    return text_of(f"{type(problem).__name__}: {told}")
