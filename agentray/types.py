"""The records that pass between stages: plain frozen data, no behaviour, no third-party imports.

`Task` says what to solve, `Attempt` is one try at it, `Trajectory` the record of a finished attempt. What is
in between is private to `rollout`. Unknown is `None`, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]
Split = Literal["train", "validation", "test"]
Status = Literal["completed", "truncated", "failed"]
Family = Literal["held_in", "held_out"]
Shared = Literal["attempt", "worker", "run"]
"""Who shares one built policy."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    loss: bool = False
    """True when training takes loss on this message; only assistant messages may carry it."""
    token_ids: tuple[int, ...] | None = None
    """The ids that the policy sampled for this reply: an engine goes on from them, not from the text."""
    reasoning: str | None = None
    """What the assistant thought before `content`, where a record keeps it apart."""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """What the assistant calls: `{"type": "function", "id": str, "function": {"name": str,
    "arguments": object}}`, `id` only where the record has one, `arguments` already decoded."""
    name: str | None = None
    """Name of the function whose result a `tool` message holds."""
    tool_call_id: str | None = None
    """The call that a `tool` message answers."""
    cut: bool = False
    """True when the token limit ended this reply: the policy never said that it was over."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages, and the tools that the assistant may call in them."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    """JSON schemas: `{"type": "function", "function": {"name": str, ...}}`."""
    place: str = ""
    """Where it comes from, e.g. `chats.jsonl:12` or a trajectory's key."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that is not used, and why."""

    place: str
    """Where it comes from, as in `Conversation`."""
    reason: str
    """One word for counting, e.g. `too_long`."""
    detail: str = ""
    """What exactly is wrong, in a few words."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to solve: enough to rebuild the episode's first state, and nothing that changes while it runs."""

    env: str
    """Environment id, e.g. `database`."""
    id: str
    """Unique within the environment and stable between runs, e.g. `test/17`."""
    split: Split
    data: Mapping[str, Any]
    """JSON-serialisable content that the environment understands."""
    fingerprint: str
    """Hash of the content that makes the task what it is; equal for equal tasks, whatever their id."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one task by one policy, before it is made."""

    task: Task
    sample: int
    """Which of the attempts at this task by this policy, from 0."""
    seed: int
    policy: str
    temperature: float = 0.0

    @property
    def key(self) -> str:
        """Identity of the attempt, equal to its trajectory's."""
        return _key(self)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a policy draws its reply."""

    temperature: float = 0.0
    """0 is greedy."""
    max_tokens: int = 128
    """Longest reply, in tokens."""
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens one reply cost."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Source:
    """Who answered, as it says itself; None where it does not."""

    model: str | None
    address: str | None
    """Of the endpoint, without user, password and keys."""
    version: str | None
    """Of the server, or of what it runs: the header `Server`, `GET /version`, `system_fingerprint`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a policy answered."""

    text: str
    token_ids: tuple[int, ...] | None = None
    """The ids the engine sampled, end-of-turn token included; None when the policy has no tokens."""
    logprobs: tuple[float, ...] | None = None
    """Natural logarithm of each sampled id's probability, as the engine computed it."""
    usage: Usage | None = None
    finish_reason: Literal["stop", "length"] | None = None
    latency_s: float = 0.0
    prefix_kept: bool | None = None
    """Whether the prompt's ids began with all ids of the turn before, prompt and reply, unchanged; None on a
    first turn, and where the policy has no tokens."""
    reasoning: str | None = None
    """What the policy thought before `text`, where it is kept."""
    source: Source | None = None
    """Who answered, where the policy is an endpoint."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One reply and what the environment made of it."""

    reply: Reply
    action: str | None
    """The action parsed from the reply; None when it held none."""
    observation: str
    """What the environment answered; empty after the turn that ended the episode."""
    reward: float = 0.0
    state: str | None = None
    """Digest of all that the environment showed after the turn; a replay must come to the same."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The record of one finished attempt at one task: what is stored, and what every later stage reads."""

    task: Task
    prompt: tuple[Message, ...]
    """Instruction, demonstrations and the first observation: all that precedes the first reply."""
    turns: tuple[Turn, ...]
    reward: float | None
    """Sum of turn rewards, higher is better; None when the attempt failed before scoring."""
    status: Status
    """`truncated`: a limit ended it. `failed`: see `error`."""
    sample: int
    """Which of the attempts at this task by this policy, from 0."""
    seed: int
    """Seed of the environment and the sampler; replays the attempt."""
    policy: str
    """Model id and revision that acted, e.g. `smollm2-135m`."""
    duration_s: float
    error: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Further scores the environment gave at the end, e.g. `{"reward_category_select": 1.0}`."""
    temperature: float | None = None
    """Sampling temperature of this attempt; None in records that do not say."""

    @property
    def key(self) -> str:
        """Identity of the attempt: environment, task, sample and policy."""
        return _key(self)

    @property
    def context_full(self) -> bool:
        """Whether the attempt ended because the conversation no longer fitted the policy's context."""
        # Earlier versions recorded the message without the error's name.
        return self.status == "truncated" and (self.error or "").startswith(
            ("ContextLimitError", "context limit")
        )

    @property
    def answered_by(self) -> tuple[Source, ...]:
        """Everyone who answered in it, in order of appearance."""
        return tuple(dict.fromkeys(each.reply.source for each in self.turns if each.reply.source))


def _key(attempt: Attempt | Trajectory) -> str:
    return f"{attempt.task.env}:{attempt.task.id}#{attempt.sample}@{attempt.policy}"


@dataclass(frozen=True, slots=True)
class EnvSpec:
    """How to build an environment anywhere, even where its distribution's metadata is missing."""

    id: str
    entry_point: str
    """`module:attribute` of an `agentray.env.TextEnvironment` class."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """How to build a policy in a worker, as `EnvSpec` is for environments."""

    id: str
    """Name recorded in every trajectory."""
    entry_point: str
    """`module:attribute` of a callable that takes `kwargs` and returns an `agentray.policy.Policy`."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    paid: bool = True
    """Whether each reply is on the disk before the next is asked for, so that none is paid twice."""
    knows_task: bool = False
    """Whether the callable also takes the environment, the task and the seed, before `kwargs`."""
    shared: Shared = "worker"
    """Built once per attempt, per rollout worker, or per run, in a Ray actor of its own (a model engine)."""
    num_gpus: float = 0
    """GPUs that the actor of a policy shared by a "run" reserves."""
    answers_as: str | None = None
    """What replies have called their model so far in the run; any other ends it."""
    replicas: tuple[Mapping[str, Any], ...] = ({},)
    """One entry per copy, with the keyword arguments in which it differs: endpoints to share the load."""


class Progress(Protocol):
    """Where a stage reports how far it is; called often, so it must be cheap."""

    def __call__(
        self, done: int, total: int, *, slowest: Sequence[str] = (), **fields: float | int | str
    ) -> None:
        """Say that `done` of `total` units are finished, with whatever else is worth showing.

        Args:
            done: Finished units.
            total: All units; 0 where that is not known.
            slowest: A line each for what has been running longest.
            fields: Named values.
        """


def silent(done: int, total: int, *, slowest: Sequence[str] = (), **fields: float | int | str) -> None:
    """The progress reporter that shows nothing."""
