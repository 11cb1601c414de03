"""One stored attempt under today's rules: its recorded replies are played again, without a model.

A verdict holds only as long as the replies are answers to what the environment shows: where it shows
something else before the record ends, or goes on where the record ends, the attempt is refused.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Literal

from agentray.env import TextEnvironment
from agentray.policy.thoughts import answer_of
from agentray.rollout.episode import metrics_of, text_of, turn_of
from agentray.rollout.hosting import Host, Session
from agentray.types import Status, Trajectory, Turn

Reason = Literal[
    "not_replayable", "other_start", "other_observation", "goes_on", "no_verdict", "environment_failed"
]
BEFORE = "reward_before"
"""Metric that keeps the reward the record came with."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one attempt."""

    before: Trajectory
    after: Trajectory | None
    """The attempt with its new reward; None when refused."""
    turn: int | None = None
    """First turn after which the environment is in another state than in the record; None: in none."""
    reason: Reason | None = None
    """Why it was refused."""
    detail: str = ""
    """What was found, for people."""

    @property
    def changed(self) -> bool:
        """Whether anything but the kept old reward differs from the record."""
        return self.after is not None and _outcome(self.before) != _outcome(self.after)


async def rescore(trajectory: Trajectory, host: Host, timeout_s: float) -> Verdict:
    """Score one attempt again.

    Args:
        trajectory: The record. One that an infrastructure failure ended has no verdict and stays as it is.
        host: Its environment, with today's settings. If it brings `rescore`, that decides.
        timeout_s: Longest time for the episode.
    """
    if trajectory.reward is None:
        return Verdict(trajectory, trajectory)
    environment = host.environment
    try:
        if environment.brings("rescore"):
            return _by_record(trajectory, environment)
        if not environment.hosting.replayable:
            return Verdict(trajectory, None, None, "not_replayable", "equal replies may lead elsewhere")
        async with host.session() as session, asyncio.timeout(timeout_s):
            return await _by_replay(trajectory, session, environment.max_turns)
    except Exception as problem:  # a plugin may fail in any way; the other attempts must go on
        detail = f"longer than {timeout_s:g} s" if isinstance(problem, TimeoutError) else repr(problem)
        return Verdict(trajectory, None, None, "environment_failed", detail)


def _by_record(trajectory: Trajectory, environment: TextEnvironment) -> Verdict:
    reward = environment.rescore(trajectory)
    if reward is None:
        return Verdict(trajectory, None, None, "no_verdict", "the environment cannot tell from the record")
    turns = trajectory.turns
    if turns and reward != trajectory.reward:  # the rewards of the turns add up to the attempt's
        others = sum(turn.reward for turn in turns[:-1])
        turns = (*turns[:-1], replace(turns[-1], reward=reward - others))
    return Verdict(trajectory, _scored(trajectory, turns=turns, reward=reward, metrics=trajectory.metrics))


async def _by_replay(trajectory: Trajectory, session: Session, max_turns: int) -> Verdict:
    observation, info = await session.reset(trajectory.seed, trajectory.task)
    if not trajectory.prompt or trajectory.prompt[-1].content != text_of(observation):
        return Verdict(trajectory, None, None, "other_start", "the first observation differs")
    turns: list[Turn] = []
    first: int | None = None
    end: tuple[Status, str | None] | None = None
    for index, recorded in enumerate(trajectory.turns):
        observation, reward, terminated, truncated, info = await session.step(answer_of(recorded.reply.text))
        over = terminated or truncated
        turns.append(turn_of(recorded.reply, observation, reward, over, info))
        if first is None and not _same(turns[-1], recorded):
            first = index
        end = _end(terminated, truncated, len(turns), max_turns)
        if end is not None:
            break
        if index + 1 < len(trajectory.turns) and turns[-1].observation != recorded.observation:
            detail = f"the observation after turn {index + 1} of {len(trajectory.turns)} differs"
            return Verdict(trajectory, None, first, "other_observation", detail)
    if end is None and not trajectory.context_full:
        return Verdict(trajectory, None, first, "goes_on", "the record ends, the environment does not")
    status, error = end or ("truncated", trajectory.error)
    after = _scored(
        trajectory,
        turns=tuple(turns),
        reward=sum(turn.reward for turn in turns),
        metrics=metrics_of(info),
        status=status,
        error=error,
    )
    return Verdict(trajectory, after, first)


def _end(
    terminated: bool, truncated: bool, num_turns: int, max_turns: int
) -> tuple[Status, str | None] | None:
    """Status and reason, as a rollout records them, of an episode that is over; None while it goes on."""
    if terminated:
        return "completed", None
    if truncated:
        return "truncated", "the environment's limit"
    return ("truncated", f"{max_turns} turns") if num_turns >= max_turns else None


def _scored(trajectory: Trajectory, **changes: Any) -> Trajectory:
    scored = replace(trajectory, **changes)
    return replace(scored, metrics={**scored.metrics, BEFORE: trajectory.reward or 0.0})


def _same(turn: Turn, recorded: Turn) -> bool:
    """Whether the environment is where the record has it; records of schema 1 hold no digest."""
    if recorded.state is not None:
        return turn.state == recorded.state
    return (turn.action, turn.observation, turn.reward) == (
        recorded.action,
        recorded.observation,
        recorded.reward,
    )


def _outcome(trajectory: Trajectory) -> tuple[object, ...]:
    metrics = {name: value for name, value in trajectory.metrics.items() if name != BEFORE}
    actions = [(turn.action, turn.reward) for turn in trajectory.turns]
    return trajectory.reward, trajectory.status, trajectory.error, metrics, actions
