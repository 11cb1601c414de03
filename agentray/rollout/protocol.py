"""What passes between the driver and its workers: attempts to make, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from agentray.data.journal import Entry
from agentray.policy.router import EndpointStats
from agentray.types import Attempt, Status


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, and how many run at once."""

    turn_timeout_s: float
    """Longest wait for one reply."""
    episode_timeout_s: float
    """Longest life of an episode: reset, every step and reply."""
    in_flight: int
    """Episodes of one worker."""
    gather_s: float = 0.0
    """How long a worker waits for more to send along with what happened."""


Fault = Literal["policy", "reply", "prompt", "refused", "environment"]
"""What fails an episode. `policy`: it does not answer now. `reply`: it works, but sent no reply. `prompt`: it
refuses this conversation. `refused`: it will never answer. `environment`: so would a rebuilt episode."""


class Assignment(NamedTuple):
    """Play this attempt; where journal lines are given, go on from them."""

    attempt: Attempt
    lease: int
    recorded: tuple[bytes, ...] = ()


class EpisodeResult(NamedTuple):
    """How one lease of an attempt ended; a `data.records.Ended`."""

    key: str
    lease: int
    status: Status
    error: str | None = None
    fault: Fault | None = None
    """What failed."""
    refusal: tuple[str, str, str] | None = None
    """What, why and fix, where the policy refused."""
    reward: float | None = None
    """Sum over the turns; None where the attempt failed."""
    duration_s: float = 0.0
    num_turns: int = 0
    metrics: Mapping[str, float] = {}
    replayed: int = 0
    """Turns that were rebuilt from the journal instead of paid for."""
    mismatch: str | None = None
    """Why a rebuilt episode was given up for a fresh one."""


class Update(NamedTuple):
    """What happened in a worker since the last exchange."""

    number: int
    entries: Sequence[Entry]
    results: Sequence[EpisodeResult]
    stuck: int
    """Environment calls that hang in a thread for good."""
    endpoints: Sequence[EndpointStats]


class WorkerInfo(NamedTuple):
    """A worker that is ready."""

    process: int
    node: str
    capacity: dict[str, int]
    """Episodes it can run at once, by environment."""


class WorkerDied(Exception):
    """The worker died or does not answer; the message says why, as far as it is known."""


class Worker(Protocol):
    """A rollout worker as the dispatcher sees it; here, or in an actor anywhere."""

    async def ready(self) -> WorkerInfo:
        """Wait until it can play; after its loss, until its successor can.

        Raises:
            AgentrayError: It never will.
            WorkerDied: It died.
        """

    async def exchange(self, assignments: Sequence[Assignment], acknowledged: int) -> Update:
        """Hand out attempts and learn what happened; returns once something did, or after a heartbeat.

        Args:
            assignments: Attempts to begin.
            acknowledged: Number of the last update whose entries are on the disk.

        Raises:
            WorkerDied: It died.
        """
