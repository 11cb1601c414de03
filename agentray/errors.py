"""Errors a user can act on: what went wrong, why, and what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CONTEXT_LIMIT = "context limit"
"""First words of the `PolicyError` for a conversation that no longer fits; a rollout ends as truncated."""


class AgentrayError(Exception):
    """A problem the user can fix; the command line shows it without a traceback."""

    exit_code = 1

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)  # positional only, so it survives pickling by Ray
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        return f"error: {self.what}\n  why: {self.why}\n  fix: {self.fix}"


class UsageError(AgentrayError):
    """A wrong argument, config key, name or file; nothing has been written."""

    exit_code = 2


class MissingDependencyError(AgentrayError):
    """An optional package or system program is not installed."""


class DataError(AgentrayError):
    """A file or record does not hold what it should."""


class PolicyError(AgentrayError):
    """The policy cannot answer and never will: wrong endpoint, key, model or context limit."""


class UnavailableError(AgentrayError):
    """The policy cannot answer now; asking again may help."""


class OverloadedError(UnavailableError):
    """The policy has too much to do: too many requests, or no answer in time."""

    retry_after_s = 0.0
    """How long it asked to be left alone; set where it said so, and not carried between processes."""


class ResourceError(AgentrayError):
    """The machine or cluster lacks what the stage needs: memory, CPUs, a port, disk."""


class Interruption(AgentrayError):
    """Ctrl-C ended the command."""

    exit_code = 130


def closest(name: str, known: Iterable[str]) -> str:
    """Sentence that names the accepted values and, where one is near, the likely one.

    Args:
        name: What the user wrote.
        known: Accepted values.
    """
    names = sorted(known)
    if not names:
        return "there are none"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}accepted: {', '.join(names)}"
