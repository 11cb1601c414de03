"""Error types: how attempts go wrong, by rules over stored trajectories.

    agentray errors runs/before runs/after

The paper names the types and publishes no rules (AgentTuning, arXiv 2310.12823, error analysis), so the
rules here are agentray's own and say so. Types overlap: an attempt may show several, and one that was won
may show some. Only `format_error` and `reasoning_error` exclude each other. An infrastructure failure
is not an error of the model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agentray.env import INVALID_ACTION, ErrorType, Finding, TextEnvironment
from agentray.errors import DataError
from agentray.types import Trajectory

__all__ = [
    "GENERAL",
    "INFRASTRUCTURE",
    "ErrorCount",
    "ErrorTable",
    "ErrorType",
    "Finding",
    "error_types",
    "types_of",
]

REPEATS = 3
"""So many equal replies in a row are a short-term repetition; ALFWorld's harness stops at as many."""
FULL_REWARD = 1.0
"""An attempt below it is lost, where no environment says what its threshold is."""
INFRASTRUCTURE = "infrastructure_failure"

_REFUSAL = re.compile(
    r"\bI(?:'m| am) (?:sorry|afraid|unable|not able)\b|\bI (?:must )?apologi[sz]e\b|\bmy apologies\b"
    r"|\bI (?:can't|cannot|can not|won't|will not)\b|\bas an AI\b",
    re.IGNORECASE,
)

GENERAL: tuple[ErrorType, ...] = (
    INVALID_ACTION,
    ErrorType(
        "short_term_repetition", "Short-term repetition", f"{REPEATS} replies in a row are the same text"
    ),
    ErrorType(
        "long_term_repetition",
        "Long-term repetition",
        "an action is repeated upon the same observation, with another turn in between",
    ),
    ErrorType(
        "refusal", "Refusal", "a reply without an action holds an apology or says that it cannot or will not"
    ),
    ErrorType(
        "context_limit", "Context limit", "the attempt ended because the conversation no longer fitted"
    ),
    ErrorType("turn_limit", "Turn limit", "the attempt ended because its turns were used up"),
    ErrorType("format_error", "Format error", "the attempt was lost, and at least one reply held no action"),
    ErrorType(
        "reasoning_error", "Reasoning error", "the attempt was lost, although every reply held an action"
    ),
    ErrorType(
        INFRASTRUCTURE,
        "Infrastructure failure",
        "the attempt has no score: an engine, an environment or a deadline failed, not the model",
    ),
)
"""What every trajectory can show, in the order of tables; a plugin's own types come before the last."""


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """How often an error type occurs in the attempts of one environment."""

    count: int
    """Attempts that show it."""
    of: int
    """Scored attempts; for `infrastructure_failure` all attempts."""
    share: float | None
    """`count / of`; None when there are none."""
    keys: tuple[str, ...]
    """The attempts that show it, in the order of the run."""


def types_of(environment: TextEnvironment | None) -> tuple[ErrorType, ...]:
    """The error types that attempts in an environment can show, in the order of tables."""
    declared = environment.error_types if environment is not None else ()
    own = {each.id: each for each in declared}
    general = [own.pop(each.id, each) for each in GENERAL]
    return (*general[:-1], *own.values(), general[-1])


def error_types(trajectory: Trajectory, environment: TextEnvironment | None = None) -> tuple[Finding, ...]:
    """What went wrong in one attempt.

    Args:
        trajectory: The attempt.
        environment: Its environment, with the settings that it was made with; None applies the general rules
            only.

    Returns:
        Findings in the order of `types_of`, then of turns; none of them twice.

    Raises:
        DataError: The environment finds what it does not declare.
    """
    if trajectory.reward is None:  # what was imported as complete may have no reward
        return () if trajectory.status == "completed" else (Finding(INFRASTRUCTURE),)
    found = {finding for rule in _RULES for finding in rule(trajectory, environment)}
    if environment is not None:
        found |= set(environment.diagnose(trajectory))
    order = {each.id: index for index, each in enumerate(types_of(environment))}
    unknown = sorted({each.type for each in found} - order.keys())
    if unknown:
        raise DataError(
            f"environment {trajectory.task.env!r} found an error type {unknown[0]!r}",
            "it does not declare it",
            "add it to the plugin's error_types",
        )
    return tuple(sorted(found, key=lambda each: (order[each.type], -1 if each.turn is None else each.turn)))


class ErrorTable:
    """Counts of error types by environment, attempt by attempt.

    Args:
        environments: Environments by id; the general rules apply to attempts in one that is not here.
    """

    def __init__(self, environments: Mapping[str, TextEnvironment]) -> None:
        self._environments = environments
        self._keys: dict[str, dict[str, list[str]]] = {}
        self._attempts: Counter[str] = Counter()
        self._scored: Counter[str] = Counter()

    def add(self, trajectory: Trajectory) -> tuple[Finding, ...]:
        """Count an attempt; returns what was found in it.

        Raises:
            DataError: The environment finds what it does not declare.
        """
        env = trajectory.task.env
        environment = self._environments.get(env)
        findings = error_types(trajectory, environment)
        keys = self._keys.setdefault(env, {each.id: [] for each in types_of(environment)})
        for type_id in {finding.type for finding in findings}:
            keys[type_id].append(trajectory.key)
        self._attempts[env] += 1
        self._scored[env] += trajectory.reward is not None
        return findings

    def counts(self) -> dict[str, dict[str, ErrorCount]]:
        """Counts per environment and error type; types that do not occur are there with 0."""
        return {
            env: {type_id: self._count(env, type_id) for type_id in self._keys[env]}
            for env in sorted(self._keys)
        }

    def _count(self, env: str, type_id: str) -> ErrorCount:
        keys = self._keys[env][type_id]
        of = self._attempts[env] if type_id == INFRASTRUCTURE else self._scored[env]
        return ErrorCount(len(keys), of, len(keys) / of if of else None, tuple(keys))


def _without_action(trajectory: Trajectory, environment: TextEnvironment | None) -> Iterator[Finding]:
    for index, turn in enumerate(trajectory.turns):
        if turn.action is None:
            yield Finding(INVALID_ACTION.id, index)


def _short_term(trajectory: Trajectory, environment: TextEnvironment | None) -> Iterator[Finding]:
    replies = [turn.reply.text.strip() for turn in trajectory.turns]
    for index in range(REPEATS - 1, len(replies)):
        if len(set(replies[index - REPEATS + 1 : index + 1])) == 1:
            yield Finding("short_term_repetition", index)


def _long_term(trajectory: Trajectory, environment: TextEnvironment | None) -> Iterator[Finding]:
    seen = trajectory.prompt[-1].content if trajectory.prompt else ""
    last: dict[tuple[str, str], int] = {}
    for index, turn in enumerate(trajectory.turns):
        if turn.action is not None:
            if index - last.get((seen, turn.action), index) > 1:
                yield Finding("long_term_repetition", index)
            last[seen, turn.action] = index
        seen = turn.observation


def _refusals(trajectory: Trajectory, environment: TextEnvironment | None) -> Iterator[Finding]:
    for index, turn in enumerate(trajectory.turns):
        if turn.action is None and _REFUSAL.search(turn.reply.text.replace("\u2019", "'")):
            yield Finding("refusal", index)


def _limits(trajectory: Trajectory, environment: TextEnvironment | None) -> Iterator[Finding]:
    if trajectory.status != "truncated":
        return
    if trajectory.context_full:
        yield Finding("context_limit")
    elif environment is None or len(trajectory.turns) >= environment.max_turns:
        # An environment may also stop early, ALFWorld's after repetitions: those have types of their own.
        yield Finding("turn_limit")


def _lost(trajectory: Trajectory, environment: TextEnvironment | None) -> Iterator[Finding]:
    threshold = FULL_REWARD if environment is None else environment.reward_threshold
    if (trajectory.reward or 0.0) >= threshold or not trajectory.turns:
        return
    unparsed = next((i for i, turn in enumerate(trajectory.turns) if turn.action is None), None)
    yield Finding("reasoning_error") if unparsed is None else Finding("format_error", unparsed)


_RULES: tuple[Callable[[Trajectory, TextEnvironment | None], Iterator[Finding]], ...] = (
    _without_action,
    _short_term,
    _long_term,
    _refusals,
    _limits,
    _lost,
)
