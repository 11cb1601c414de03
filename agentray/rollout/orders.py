"""What passes between the driver and its workers: orders to try a task, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from agentray.data.journal import Entry
from agentray.policy.router import EndpointStats
from agentray.types import Message, Status, Task, Trajectory


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one task: all that a worker needs to know."""

    env: str
    task: Task
    sample: int
    seed: int
    policy: str
    temperature: float = 0.0

    @property
    def key(self) -> str:
        """Identity of the attempt, equal to its trajectory's."""
        return f"{self.task.env}:{self.task.id}#{self.sample}@{self.policy}"

    def trajectory(
        self, status: Status, *, prompt: tuple[Message, ...] = (), error: str | None = None
    ) -> Trajectory:
        """The attempt's record without turns or reward."""
        return Trajectory(
            task=self.task,
            prompt=prompt,
            turns=(),
            reward=None,
            status=status,
            sample=self.sample,
            seed=self.seed,
            policy=self.policy,
            duration_s=0.0,
            error=error,
            temperature=self.temperature,
        )


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
"""What fails an episode. `policy`: it does not answer now. `reply`: it works, and sent no reply. `prompt`: it
refuses this conversation. `refused`: it will never answer. `environment`: so would a rebuilt episode."""


class Order(NamedTuple):
    """Play this attempt; where journal lines are given, go on from them."""

    attempt: Attempt
    lease: int
    recorded: tuple[bytes, ...] = ()


class Outcome(NamedTuple):
    """How one lease of an attempt ended."""

    key: str
    lease: int
    env: str
    status: Status
    reward: float | None
    error: str | None
    duration_s: float
    num_turns: int
    end: Entry
    """The journal's last line of the attempt, if this outcome is the one that counts."""
    fault: Fault | None = None
    """What failed."""
    refusal: tuple[str, str, str] | None = None
    """What, why and fix, where the policy refused."""
    replayed: int = 0
    """Turns that were rebuilt from the journal instead of paid for."""
    mismatch: str | None = None
    """Why a rebuilt episode was given up for a fresh one."""


class Batch(NamedTuple):
    """What happened in a worker since the last exchange."""

    number: int
    entries: Sequence[Entry]
    outcomes: Sequence[Outcome]
    stuck: int
    """Environment calls that hang in a thread for good."""
    endpoints: Sequence[EndpointStats]


class WorkerInfo(NamedTuple):
    """A worker that is ready."""

    process: int
    node: str
    capacity: dict[str, int]
    """Episodes it can run at once, by environment."""


class WorkerLost(Exception):
    """The worker died or does not answer; the message says why, as far as it is known."""


class Worker(Protocol):
    """A rollout worker as the dispatcher sees it; here, or in an actor anywhere."""

    async def ready(self) -> WorkerInfo:
        """Wait until it can play; after its loss, until its successor can.

        Raises:
            AgentrayError: It never will.
            WorkerLost: It died.
        """

    async def exchange(self, orders: Sequence[Order], acknowledged: int) -> Batch:
        """Hand out orders and learn what happened; returns as soon as something did, or after a heartbeat.

        Args:
            orders: Attempts to begin.
            acknowledged: Number of the last batch whose entries are on the disk.

        Raises:
            WorkerLost: It died.
        """
