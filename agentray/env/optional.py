"""What a plugin may add to the contract: error types of its own, and a verdict from the record alone.

Both are optional. An environment has them when it has the members of `Diagnoses` or `Rescores`; one without
is complete, and evaluation then uses what every trajectory tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from agentray.types import Trajectory


@dataclass(frozen=True, slots=True)
class ErrorType:
    """A way for an attempt to go wrong, with the rule that finds it in a stored trajectory."""

    id: str
    title: str
    rule: str
    """One sentence; what it counts must follow from the record."""
    ours: bool = True
    """Whether the rule is agentray's: the paper names some types and publishes no rule."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One occurrence of an error type."""

    type: str
    """Id of the error type."""
    turn: int | None = None
    """Index of the turn that shows it; None when it is the whole attempt's."""


INVALID_ACTION = ErrorType(
    "invalid_action",
    "Invalid action",
    "a reply holds no action, or the environment's observation says that the action is impossible",
)
FUNCTION_CALL_ERROR = ErrorType(
    "function_call_error",
    "Function call error",
    "a well-formed call (a statement, a tool) is answered with an error instead of a result",
)
FUNCTION_REPETITION = ErrorType(
    "function_repetition",
    "Function repetition",
    "the same call with the same arguments gets the answer that it got before",
)


@runtime_checkable
class Diagnoses(Protocol):
    """An environment that knows error types by its own conventions."""

    error_types: ClassVar[tuple[ErrorType, ...]]
    """The types that `diagnose` may find; one with the id of a general type replaces that type's text."""

    def diagnose(self, trajectory: Trajectory) -> Iterable[Finding]:
        """What its observations tell of one scored attempt, in addition to the general rules."""


@runtime_checkable
class Rescores(Protocol):
    """An environment whose verdict follows from the record, without playing the episode again."""

    def rescore(self, trajectory: Trajectory) -> float | None:
        """The reward by today's rules; None where the record does not tell it. Pure: no model, no files."""
