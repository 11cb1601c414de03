"""What becomes of an attempt whose lease failed: again, for good, or the end of the run. Plain logic.

What an attempt fails of is not always its own: an endpoint may be down, out of credit or wrongly set up. An
attempt is written off only once the policy is known to work for others, so that such a run can be resumed
without losing anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentray.errors import PolicyError, UnavailableError
from agentray.rollout.protocol import EpisodeResult
from agentray.types import Attempt

_CONTEXT_PROBES = 8
"""Attempts whose first prompt is too long before a run in which nothing else happened is given up."""
_BROKEN_AFTER = 16
"""Attempts that may fail in a row, or as many as run at once if these are more."""
_BENEFIT = 3
"""How often more an attempt is made while no other shows that the policy works."""
ISOLATE_AFTER = 2
"""Workers that died under an attempt after which it gets a worker to itself."""
BLAME_AFTER = 7
"""Workers that died under an attempt, the last ones alone with it, after which it is to blame."""


@dataclass(frozen=True)
class Rules:
    """How much runs at once, and how often what failed is tried again."""

    in_flight: int
    max_retries: int
    resumable: frozenset[str]
    """Environments whose interrupted attempts are rebuilt instead of made again."""


@dataclass
class Lease:
    """An attempt that is, or will be, with a worker."""

    attempt: Attempt
    number: int = 0
    failures: int = 0
    deaths: int = 0
    """Workers that died under it since it last got further than ever."""
    isolated: bool = False
    """Whether it has a worker to itself, because several died under it."""
    depth: int = 0
    """Entries of the episode as it is played now."""
    deepest: int = 0
    """The most of them so far."""
    num_turns: int = 0
    since_s: float = 0.0
    """Monotonic time at which it was handed out."""
    replies_before: int = 0
    """Replies in the run when it was handed out."""


Decision = Literal["final", "again", "wait", "stop"]
"""What comes of a lease. `wait`: nobody knows yet whether the policy refuses this prompt or all of them."""


class PolicyHealth:
    """What the run knows of its policy.

    Args:
        rules: Limits.
        proven: Whether the policy has answered in an earlier start of the run.
    """

    def __init__(self, rules: Rules, proven: bool) -> None:
        self._rules = rules
        self.replies = 0
        self._proven = proven
        self._in_row = self._too_long = self._most_leases = 0

    @property
    def works(self) -> bool:
        """Whether the policy has answered anything."""
        return self._proven or self.replies > 0

    def replied(self) -> None:
        """A reply came."""
        self.replies += 1
        self._in_row = 0

    def decide(self, result: EpisodeResult, lease: Lease) -> Decision:
        """What comes of a lease that ended so."""
        if result.status != "failed":
            return "final"
        if result.fault == "refused":
            return "stop"
        if result.fault == "prompt":
            return "final" if self.works else "wait"
        spent = lease.failures >= self._rules.max_retries
        if spent and result.fault == "policy" and self.replies == lease.replies_before:
            spent = lease.failures >= self._rules.max_retries + _BENEFIT
        return "final" if spent else "again"

    def check(self, result: EpisodeResult, num_leases: int) -> None:
        """Stop a run that cannot succeed.

        Args:
            result: What ended last.
            num_leases: Attempts that run now.

        Raises:
            PolicyError: The context is too short for any first prompt.
            UnavailableError: The policy has stopped to answer.
        """
        self._most_leases = max(self._most_leases, num_leases)
        if self.replies == 0 and result.status == "truncated" and result.refusal is not None:
            self._too_long += 1
            if self._too_long >= _CONTEXT_PROBES:
                raise PolicyError(*result.refusal)
        if result.fault in ("policy", "reply"):
            self._in_row += 1
            if self._in_row >= max(_BROKEN_AFTER, min(self._rules.in_flight, self._most_leases)):
                raise UnavailableError(
                    f"{self._in_row} attempts in a row failed",
                    str(result.error),
                    "correct the policy; the same command then resumes the run",
                )

    def num_waiting_allowed(self) -> int:
        """Refused prompts that may wait for a first reply before the run is given up."""
        return max(_BROKEN_AFTER, self._rules.in_flight)
