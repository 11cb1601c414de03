"""ATIF, the Agent Trajectory Interchange Format of Harbor: one trajectory a record, nothing is lost.

A reply with its observation is one step; what ATIF has no field for is under `extra.agentray`.

Source: Harbor RFC 0001, version 1.7, https://github.com/harbor-framework/harbor/blob/main/rfcs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import agentray
from agentray.data.records import from_row, to_row
from agentray.errors import DataError
from agentray.formats.base import Format, Record, conversation
from agentray.formats.calls import tools_of
from agentray.formats.facts import FACTS
from agentray.formats.reasons import Unusable, short
from agentray.formats.turns import holds, message_of
from agentray.types import Conversation, Message, Trajectory

VERSION = "ATIF-v1.7"
_OURS = "agentray"
"""Key of what only agentray reads, under `extra`."""
_STEP = frozenset(
    {"step_id", "timestamp", "source", "message", "model_name", "reasoning_effort", "reasoning_content"}
    | {"tool_calls", "observation", "metrics", "llm_call_count", "is_copied_context", "extra"}
)
_ROLES = {"system": "system", "user": "user", "agent": "assistant"}
_METRICS = {"prompt_tokens": "prompt_tokens", "completion_tokens": "completion_tokens"}
_METRICS |= {"token_ids": "completion_token_ids", "logprobs": "logprobs"}
"""Columns of a turn's row that are metrics of its step."""
_SAID = frozenset({"text", "reasoning", "observation", *_METRICS})


class Atif(Format):
    """Records with `schema_version` `ATIF-v1.x`."""

    fields = frozenset(
        {"schema_version", "session_id", "trajectory_id", "agent", "steps", "notes", "final_metrics"}
        | {"continued_trajectory_ref", "extra", "subagent_trajectories"}
    )
    keeps = frozenset(FACTS)

    def fits(self, record: Record) -> bool:
        """Whether it says that it is ATIF."""
        return "steps" in record and str(record.get("schema_version")).startswith("ATIF-v1.")

    def conversation(self, record: Record, place: str) -> Conversation:
        """What was said; steps that are context or no reply of a model carry no loss."""
        steps = record["steps"]
        if not isinstance(steps, list) or not steps:
            raise Unusable("no_messages", f"steps is {short(steps)}")
        for name in ("subagent_trajectories", "continued_trajectory_ref"):
            if holds(record.get(name)):
                raise Unusable("unsupported_part", name)
        agent = record.get("agent")
        tools = agent.get("tool_definitions") if isinstance(agent, dict) else None
        said = [each for step in steps for each in _said(step)]
        return conversation(said, place, tools=tools_of({"tools": tools}))

    def task(self, record: Record, place: str) -> tuple[str, str]:
        """Environment `imported`, and the name of the trajectory or of its session."""
        names = (record.get("trajectory_id"), record.get("session_id"))
        return "imported", str(next(filter(holds, names), place))

    def trajectory(self, record: Record, place: str) -> Trajectory:
        """Our own trajectory as it was; another's as far as it can be told."""
        extra = record.get("extra")
        ours = extra.get(_OURS) if isinstance(extra, dict) else None
        if not isinstance(ours, dict):
            return super().trajectory(record, place)
        return _restored(ours, record["steps"])

    def record(self, trajectory: Trajectory) -> Record:
        """The whole trajectory, also where it failed."""
        row = to_row(trajectory)
        known = {name: value for name, value in row.items() if name not in ("key", "prompt", "turns")}
        steps = [_context(each) for each in trajectory.prompt]
        steps += [_step(each, trajectory.policy) for each in row["turns"]]
        if not steps:
            raise Unusable("no_messages", "nothing was said in the attempt")
        return {
            "schema_version": VERSION,
            "trajectory_id": trajectory.key,
            "agent": {"name": "agentray", "version": agentray.__version__, "model_name": trajectory.policy},
            "steps": [{"step_id": number, **step} for number, step in enumerate(steps, 1)],
            "extra": {_OURS: known},
        }

    def unread(self, record: Record) -> Iterator[str]:
        """Names of fields that ATIF does not have."""
        yield from (name for name, value in record.items() if name not in self.fields and holds(value))
        steps = record.get("steps")
        for step in steps if isinstance(steps, list) else ():
            if isinstance(step, dict):
                yield from (f"steps[].{name}" for name in step if name not in _STEP and holds(step[name]))


def _context(message: Message) -> dict[str, Any]:
    """The step of a message of the prompt; a demonstrated reply is context that nobody trains on."""
    if message.role == "assistant":
        return {"source": "agent", "message": message.content, "is_copied_context": True}
    if message.role == "tool":
        raise Unusable("has_tools", "the prompt holds the result of a tool")
    return {"source": message.role, "message": message.content}


def _step(row: Mapping[str, Any], policy: str) -> dict[str, Any]:
    """The step of a reply and its observation, from a turn's row."""
    step: dict[str, Any] = {"source": "agent", "message": row["text"], "llm_call_count": 1}
    step["model_name"] = row["model"] or policy
    if row["reasoning"] is not None:
        step["reasoning_content"] = row["reasoning"]
    if row["observation"]:
        step["observation"] = {"results": [{"content": row["observation"]}]}
    metrics = {theirs: row[ours] for ours, theirs in _METRICS.items() if row[ours] is not None}
    rest = {name: value for name, value in row.items() if name not in _SAID and value is not None}
    return step | ({"metrics": metrics} if metrics else {}) | {"extra": {_OURS: rest}}


def _said(step: Any) -> Iterator[Message]:
    """The messages of a step: what was said, and what the environment or tools answered.

    Raises:
        Unusable: It is no step, or holds what is not text.
    """
    if not isinstance(step, dict) or step.get("source") not in _ROLES:
        source = step.get("source") if isinstance(step, dict) else step
        raise Unusable("unknown_role", f"the source of a step is {short(source)}")
    calls = step.get("tool_calls") or []
    if not isinstance(calls, list):
        raise Unusable("bad_tool_call", f"tool_calls is {short(calls)}, not a list")
    context = step.get("is_copied_context") is True or step.get("llm_call_count") == 0
    turn = {
        "role": _ROLES[step["source"]],
        "content": step.get("message", ""),
        "reasoning_content": step.get("reasoning_content"),
        "tool_calls": list(map(_call, calls)),
    }
    yield message_of(turn, default=not context)
    observation = step.get("observation") or {}
    results = (observation.get("results") or []) if isinstance(observation, dict) else observation
    for result in results if isinstance(results, list) else [results]:
        if not isinstance(result, dict) or holds(result.get("subagent_trajectory_ref")):
            raise Unusable("unsupported_part", f"a result is {short(result)}")
        answers = result.get("source_call_id")
        role = "user" if answers is None else "tool"
        yield message_of({"role": role, "content": result.get("content"), "tool_call_id": answers})


def _call(call: Any) -> Any:
    """A call as OpenAI writes it; the reader of messages says what is wrong with any other."""
    if not isinstance(call, dict):
        return call
    function = {"name": call.get("function_name"), "arguments": call.get("arguments")}
    return {"id": call.get("tool_call_id"), "type": "function", "function": function}


def _restored(ours: Mapping[str, Any], steps: list[Any]) -> Trajectory:
    """The trajectory that `record` wrote, from its steps and what is under `extra.agentray`.

    Raises:
        Unusable: Somebody changed what only agentray writes.
    """
    try:
        replies = [step for step in steps if _OURS in step.get("extra", {})]
        context = [step for step in steps if _OURS not in step.get("extra", {})]
        prompt = [
            {"role": _ROLES[step["source"]], "content": step["message"], "loss": False} for step in context
        ]
        return from_row({**ours, "prompt": prompt, "turns": list(map(_row, replies))})
    except (DataError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Unusable("bad_field", f"extra.{_OURS}: {short(error)}") from error


def _row(step: Mapping[str, Any]) -> dict[str, Any]:
    """The row of the turn that a step holds."""
    nothing = dict.fromkeys(("finish_reason", "action", "state", "prefix_kept", "model"))
    metrics = step.get("metrics", {})
    results = step.get("observation", {}).get("results", [])
    return {
        **nothing,
        **step["extra"][_OURS],
        **{ours: metrics.get(theirs) for ours, theirs in _METRICS.items()},
        "text": step["message"],
        "reasoning": step.get("reasoning_content"),
        "observation": results[0]["content"] if results else "",
    }
