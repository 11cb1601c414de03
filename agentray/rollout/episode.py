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
from dataclasses import replace
from typing import Any, Protocol

from agentray.data.journal import Entry, History, begun, history, turned
from agentray.env import TextEnvironment
from agentray.errors import ContextLimitError, PolicyError, PromptError, ReplyError
from agentray.policy.base import Policy
from agentray.policy.thoughts import answer_of
from agentray.rollout.hosting import Host, Session
from agentray.rollout.protocol import Assignment, EpisodeResult, Fault
from agentray.types import Message, Reply, Sampling, Status, Turn


class Recorder(Protocol):
    """Where an episode's entries go."""

    def write(self, entry: Entry) -> None:
        """Take an entry."""

    async def durable(self) -> None:
        """Wait until the entries so far are safe."""


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
        assignment: Assignment,
        host: Host,
        policy: Policy,
        sampling: Sampling,
        timeout_s: float,
        recorder: Recorder,
    ) -> None:
        self._assignment, self._attempt = assignment, assignment.attempt
        self._recorded = history(assignment.recorded) if assignment.recorded else None
        self._host = host
        self._environment: TextEnvironment = host.environment
        self._policy = policy
        self._sampling = replace(
            sampling, seed=assignment.attempt.seed, temperature=assignment.attempt.temperature
        )
        self._timeout_s = timeout_s
        self._recorder = recorder
        self._prompt: tuple[Message, ...] = ()
        self._turns: list[Turn] = []
        self._metrics: dict[str, float] = {}
        self._replayed = 0
        self._mismatch: str | None = None
        self._fault: Fault = "environment"
        """What the episode waits for, and so what is at fault if it fails."""

    async def run(self) -> EpisodeResult:
        """Play to the end; an `Exception` is in the result, never raised.

        An infrastructure failure leaves the reward None: it says nothing about the policy.
        """
        started = time.monotonic()
        try:
            result = await self._attempted()
        except Exception as problem:
            result = failed(self._assignment, problem, self._fault)
        return result._replace(
            reward=None if result.status == "failed" else sum(turn.reward for turn in self._turns),
            duration_s=time.monotonic() - started,
            num_turns=len(self._turns),
            metrics=self._metrics,
            replayed=self._replayed,
            mismatch=self._mismatch,
        )

    async def _attempted(self) -> EpisodeResult:
        """Rebuild the recorded episode and go on; or play from the start."""
        if self._recorded is not None:
            try:
                return await self._in_session(self._recorded)
            except _Mismatch as mismatch:
                self._mismatch = str(mismatch)
                self._turns, self._replayed = [], 0
        return await self._in_session(None)

    async def _in_session(self, recorded: History | None) -> EpisodeResult:
        async with self._host.session() as session:
            deadline = asyncio.timeout(self._timeout_s)
            try:
                async with deadline:
                    return await self._play(session, recorded)
            except TimeoutError:
                if not deadline.expired():  # the environment's own
                    raise
                return self._ended(
                    "failed", f"the episode took longer than {self._timeout_s:g} s", self._fault
                )

    async def _play(self, session: Session, recorded: History | None) -> EpisodeResult:
        task = self._attempt.task
        observation, info = await session.reset(self._attempt.seed, task)
        self._metrics = metrics_of(info)
        opening = (*self._environment.instruction(task), Message("user", observation))
        self._prompt = tuple(replace(each, content=text_of(each.content)) for each in opening)
        state = digest(observation, 0.0, False, info)
        if recorded is None:
            self._recorder.write(begun(self._attempt, self._assignment.lease, self._prompt, state))
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

    async def _turns_from(
        self, session: Session, messages: list[Message], info: Mapping[str, Any]
    ) -> EpisodeResult:
        """Ask, act and record until the episode ends."""
        while len(self._turns) < self._environment.max_turns:
            await self._recorder.durable()
            self._fault = "policy"
            try:
                reply = await self._policy.act(messages, self._sampling, info)
            except ContextLimitError as full:
                error = text_of(f"{type(full).__name__}: {full.what}")
                return self._ended("truncated", error)._replace(refusal=(full.what, full.why, full.fix))
            if not reply.text.isascii():
                reply = replace(reply, text=text_of(reply.text))
            self._fault = "environment"
            end, info = await self._step(session, Turn(reply, None, ""), messages)
            index = len(self._turns) - 1
            self._recorder.write(turned(self._attempt.key, self._assignment.lease, index, self._turns[index]))
            if end is not None:
                return end
        return self._ended("truncated", f"{self._environment.max_turns} turns")

    async def _step(
        self, session: Session, turn: Turn, messages: list[Message]
    ) -> tuple[EpisodeResult | None, Mapping[str, Any]]:
        """Give a turn's reply to the environment; its end of the episode, if it is one, and its info."""
        reply = turn.reply
        observation, reward, terminated, truncated, info = await session.step(answer_of(reply.text))
        over = terminated or truncated
        self._metrics = metrics_of(info)
        self._turns.append(turn_of(reply, observation, reward, over, info))
        if over:
            status: Status = "completed" if terminated else "truncated"
            return self._ended(status, None if terminated else "the environment's limit"), info
        messages += [
            Message("assistant", reply.text, loss=True, token_ids=reply.token_ids),
            Message("user", self._turns[-1].observation),
        ]
        return None, info

    def _ended(self, status: Status, error: str | None = None, fault: Fault | None = None) -> EpisodeResult:
        return EpisodeResult(self._attempt.key, self._assignment.lease, status, error, fault)


def turn_of(reply: Reply, observation: str, reward: float, over: bool, info: Mapping[str, Any]) -> Turn:
    """A step of the environment as it is recorded.

    Raises:
        TypeError: The observation or action is not text.
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


def failed(assignment: Assignment, problem: BaseException, fault: Fault) -> EpisodeResult:
    """The result of an attempt that raised this while it waited for what `fault` names."""
    refusal = None
    match problem:
        case PolicyError():
            fault = "prompt" if isinstance(problem, PromptError) else "refused"
            refusal = (problem.what, problem.why, problem.fix)
        case ReplyError():
            fault = "reply"
    return EpisodeResult(assignment.attempt.key, assignment.lease, "failed", _line(problem), fault, refusal)


def text_of(given: Any) -> str:
    """A text as files can hold it: without halves of surrogate pairs.

    Raises:
        TypeError: It is not text.
    """
    if not isinstance(given, str):
        raise TypeError(f"the environment gave {given!r:.100} where text belongs")
    return given if given.isascii() else given.encode("utf-8", "replace").decode()


def metrics_of(info: Mapping[str, Any]) -> dict[str, float]:
    """Further scores of the environment, as plain numbers."""
    return {str(name): float(value) for name, value in info.get("metrics", {}).items()}


def _line(problem: BaseException) -> str:
    try:
        message = " / ".join(str(problem).split("\n"))
    except Exception:
        message = "(it does not say what)"
    return text_of(f"{type(problem).__name__}: {message}")
