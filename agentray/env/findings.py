"""Error types: the ways in which an attempt goes wrong, and where one shows it."""

from __future__ import annotations

from dataclasses import dataclass


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
