"""One start of a sandbox, as its backend describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HOME = "/home/agent"
"""The working directory of a command."""
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": HOME,
    "USER": "agent",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
"""All that a command finds in its environment."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What to execute."""

    argv: tuple[str, ...]
    """To be followed by the command that runs inside."""
    descriptors: tuple[int, ...] = ()
    """To be inherited by the first process, then closed."""
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    """Of the first process."""
    stop: tuple[str, ...] = ()
    """A command that ends what a kill of the first process does not reach."""
