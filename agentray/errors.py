"""Errors a user can act on: what went wrong, why, and what to type next."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_CREDENTIALS = re.compile(r"(\b[a-zA-Z][\w+.-]*://)[^\s/?#'\"]*@")
"""What stands before the host in a URL: `user:password@`."""
_SECRET_PARAMETER = re.compile(
    r"([?&][\w.-]*(?:key|token|secret|sig|passw(?:or)?d|pwd|auth|credential)[\w.-]*=)[^&\s'\"#]+", re.I
)


def without_secrets(text: str) -> str:
    """A text in which URLs show neither a user's name and password nor the value of a key or token."""
    if "://" not in text:
        return text
    return _SECRET_PARAMETER.sub(r"\1...", _CREDENTIALS.sub(r"\1", text))


class AgentrayError(Exception):
    """A problem the user can fix; the command line shows it without a traceback."""

    exit_code = 1

    def __init__(self, what: str, why: str, fix: str) -> None:
        what, why, fix = without_secrets(what), without_secrets(why), without_secrets(fix)
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
    """The policy cannot answer and never will: wrong endpoint, key or model."""


class ContextLimitError(PolicyError):
    """The conversation no longer fits the policy's context; the attempt ends as truncated."""


class PromptError(PolicyError):
    """The policy refuses this conversation, and would again; it may answer others."""


class UnavailableError(AgentrayError):
    """The policy cannot answer now; asking again may help."""


class OverloadedError(UnavailableError):
    """The policy has too much to do: too many requests, or no answer in time."""

    retry_after_s = 0.0
    """How long it asked not to be called; set where it said so, and not carried between processes."""


class LoadingError(OverloadedError):
    """The policy is being loaded; it will answer in minutes."""


class ReplyError(UnavailableError):
    """The policy works, but did not send a reply of the model: an error, a filter's notice, nothing."""


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
