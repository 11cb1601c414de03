"""Trajectories as rows: one JSON document, and one Arrow schema whose columns a query can use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import pyarrow as pa

from agentray.errors import DataError
from agentray.types import Attempt, Message, Reply, Source, Status, Task, Trajectory, Turn, Usage

SCHEMA_VERSION = 3
"""Version 2 lacked, in turns, `reasoning` and who answered (`model`, `address`, `version`); version 1 also
`temperature` and, in turns, `prefix_kept` and `state`."""

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("loss", pa.bool_())])
_TURN = pa.struct(
    [
        ("text", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("logprobs", pa.list_(pa.float32())),
        ("prompt_tokens", pa.int32()),
        ("completion_tokens", pa.int32()),
        ("finish_reason", pa.string()),
        ("latency_s", pa.float64()),
        ("prefix_kept", pa.bool_()),
        ("action", pa.string()),
        ("observation", pa.string()),
        ("reward", pa.float64()),
        ("state", pa.string()),
        ("reasoning", pa.string()),
        ("model", pa.string()),
        ("address", pa.string()),
        ("version", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("schema_version", pa.int32()),
        ("key", pa.string()),
        ("env", pa.string()),
        ("task_id", pa.string()),
        ("split", pa.string()),
        ("fingerprint", pa.string()),
        ("task_data", pa.string()),
        ("prompt", pa.list_(_MESSAGE)),
        ("turns", pa.list_(_TURN)),
        ("reward", pa.float64()),
        ("status", pa.string()),
        ("sample", pa.int32()),
        ("seed", pa.int64()),
        ("policy", pa.string()),
        ("temperature", pa.float64()),
        ("duration_s", pa.float64()),
        ("error", pa.string()),
        ("metrics", pa.string()),
    ]
)
"""`task_data` and `metrics` are JSON text: their keys belong to the environment."""

_NOBODY = Source(None, None, None)
_LOST: Mapping[str, Any] = {"prompt": [], "turns": [], "reward": None, "status": "failed", "metrics": "{}"}
"""What replaces all that came of an attempt that cannot be stored."""


class Ended(Protocol):
    """What is known of an attempt that has ended, beside its turns: a trajectory, or a worker's result."""

    @property
    def status(self) -> Status: ...  # noqa: D102
    @property
    def reward(self) -> float | None: ...  # noqa: D102
    @property
    def error(self) -> str | None: ...  # noqa: D102
    @property
    def duration_s(self) -> float: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, float]: ...  # noqa: D102


def head(attempt: Attempt | Trajectory, prompt: Sequence[Message]) -> dict[str, Any]:
    """What is known of an attempt when its first observation is: the part of its row before the turns."""
    task = attempt.task
    return {
        "schema_version": SCHEMA_VERSION,
        "key": attempt.key,
        "env": task.env,
        "task_id": task.id,
        "split": task.split,
        "fingerprint": task.fingerprint,
        "task_data": json.dumps(task.data, ensure_ascii=False),
        "prompt": [{"role": each.role, "content": each.content, "loss": each.loss} for each in prompt],
        "sample": attempt.sample,
        "seed": attempt.seed,
        "policy": attempt.policy,
        "temperature": attempt.temperature,
    }


def tail(end: Ended) -> dict[str, Any]:
    """What is known of an attempt when it has ended: the part of its row after the turns."""
    return {
        "reward": end.reward,
        "status": end.status,
        "duration_s": end.duration_s,
        "error": end.error,
        "metrics": json.dumps(dict(end.metrics)),
    }


def to_row(trajectory: Trajectory) -> dict[str, Any]:
    """The trajectory as plain JSON-serialisable data that fits `SCHEMA`."""
    turns = [turn_row(turn) for turn in trajectory.turns]
    return {**head(trajectory, trajectory.prompt), "turns": turns, **tail(trajectory)}


def from_row(row: Mapping[str, Any]) -> Trajectory:
    """The trajectory of a stored row.

    Raises:
        DataError: The row was written by a newer schema, or is not a trajectory.
    """
    check_version(row.get("schema_version"))
    try:
        task = Task(
            row["env"], row["task_id"], row["split"], json.loads(row["task_data"]), row["fingerprint"]
        )
        return Trajectory(
            task=task,
            prompt=tuple(Message(**message) for message in row["prompt"]),
            turns=tuple(to_turn(turn) for turn in row["turns"]),
            reward=row["reward"],
            status=row["status"],
            sample=row["sample"],
            seed=row["seed"],
            policy=row["policy"],
            duration_s=row["duration_s"],
            error=row["error"],
            metrics=json.loads(row["metrics"]),
            temperature=row.get("temperature"),
        )
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise DataError(
            "a record is not a trajectory", repr(error), "remove it, or run the rollout again"
        ) from error


def check_version(version: Any) -> None:
    """Refuse a record that this agentray cannot read.

    Raises:
        DataError: A newer agentray wrote it, or it has no version.
    """
    if version not in range(1, SCHEMA_VERSION + 1):
        raise DataError(
            f"a record has schema version {version!r}",
            f"this agentray reads versions 1 to {SCHEMA_VERSION}",
            "read it with the agentray that wrote it",
        )


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table.

    Raises:
        DataError: `SCHEMA` cannot hold one: half a surrogate pair, an action that is not text, a number out
            of range.
    """
    try:
        return pa.Table.from_pylist(rows, schema=SCHEMA)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise DataError("an attempt cannot be stored", str(error), "exclude it") from error


def fitted(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Rows that fit into a table, and what became of the others.

    One that does not fit becomes that of an attempt that failed; it is dropped, and so made again, where its
    task cannot be stored either.
    """
    found: list[Mapping[str, Any]] = []
    problems = []
    for row in rows:
        why = _misfit(row)
        if why is None:
            found.append(row)
            continue
        problems.append(f"attempt {row['key']!r} cannot be stored: {why}")
        failed = {**row, **_LOST, "error": f"cannot be stored: {why}"}
        if _misfit(failed) is None:
            found.append(failed)
    return found, problems


def _misfit(row: Mapping[str, Any]) -> str | None:
    """Why a row does not fit; None when it does."""
    try:
        table([row])
    except DataError as error:
        return error.why
    return None


def turn_row(turn: Turn) -> dict[str, Any]:
    """A turn as plain JSON-serialisable data."""
    reply, usage = turn.reply, turn.reply.usage
    source = reply.source or _NOBODY
    return {
        "text": reply.text,
        "token_ids": None if reply.token_ids is None else list(reply.token_ids),
        "logprobs": None if reply.logprobs is None else list(reply.logprobs),
        "prompt_tokens": usage.prompt_tokens if usage else None,
        "completion_tokens": usage.completion_tokens if usage else None,
        "finish_reason": reply.finish_reason,
        "latency_s": reply.latency_s,
        "prefix_kept": reply.prefix_kept,
        "action": turn.action,
        "observation": turn.observation,
        "reward": turn.reward,
        "state": turn.state,
        "reasoning": reply.reasoning,
        "model": source.model,
        "address": source.address,
        "version": source.version,
    }


def to_turn(row: Mapping[str, Any]) -> Turn:
    """The turn of `turn_row`."""
    counted = row["prompt_tokens"] is not None
    source = Source(row.get("model"), row.get("address"), row.get("version"))
    reply = Reply(
        text=row["text"],
        token_ids=None if row["token_ids"] is None else tuple(row["token_ids"]),
        logprobs=None if row["logprobs"] is None else tuple(row["logprobs"]),
        usage=Usage(row["prompt_tokens"], row["completion_tokens"]) if counted else None,
        finish_reason=row["finish_reason"],
        latency_s=row["latency_s"],
        prefix_kept=row.get("prefix_kept"),
        reasoning=row.get("reasoning"),
        source=None if source == _NOBODY else source,
    )
    return Turn(reply, row["action"], row["observation"], row["reward"], row.get("state"))


def messages(trajectory: Trajectory) -> tuple[Message, ...]:
    """The whole conversation; replies of the policy carry loss, as in AgentInstruct, and their sampled ids.

    An observation that no reply followed is excluded, so the conversation ends with a reply.
    """
    conversation = list(trajectory.prompt)
    for index, turn in enumerate(trajectory.turns):
        reply = turn.reply
        said = Message("assistant", reply.text, loss=True, token_ids=reply.token_ids or None)
        conversation.append(replace(said, reasoning=reply.reasoning, cut=reply.finish_reason == "length"))
        if index + 1 < len(trajectory.turns):
            conversation.append(Message("user", turn.observation))
    return tuple(conversation)
