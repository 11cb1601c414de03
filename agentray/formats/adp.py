"""ADP, the Agent Data Protocol: a trajectory as a list of actions and observations.

A reply is a `message_action` with its reward, what the environment answers a `text_observation`.

Source: Song et al. 2025, arXiv:2510.24702; schema 1.2.0 of https://github.com/neulab/agent-data-protocol.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from agentray.formats.base import Format, Record, conversation, said_in
from agentray.formats.imported import POLICY
from agentray.formats.reasons import Unusable, short
from agentray.formats.turns import holds, message_of
from agentray.types import Conversation, Message, Trajectory

VERSION = "1.2.0"
_SOURCES = {"user": "user", "environment": "user", "agent": "assistant", "system": "system"}
_SOURCES["assistant"] = "assistant"
"""Whose text an observation is; later schemas write `assistant` for `agent`, and know `system`."""
_ACTION = {"class_", "content", "description", "function", "kwargs", "reasoning_content"}
_ITEM = frozenset({*_ACTION, "name", "reward", "source", "tool_call_id"})


class Adp(Format):
    """Records whose `content` is a list of objects with a `class_`."""

    fields = frozenset(
        {"schema_version", "id", "content", "details", "available_apis"}
        | {"available_custom_tools", "available_code_languages"}
    )
    keeps = frozenset({"task", "policy", "reward", "turn_rewards", "last_observation"})

    def fits(self, record: Record) -> bool:
        """Whether its content is made of such objects."""
        content = record.get("content")
        return isinstance(content, list) and any(
            isinstance(each, dict) and isinstance(each.get("class_"), str) for each in content
        )

    def conversation(self, record: Record, place: str) -> Conversation:
        """What was said; only messages and calls of functions can be read, and text as observations."""
        return conversation([_said(each) for each in record["content"]], place)

    def task(self, record: Record, place: str) -> tuple[str, str]:
        """Environment and id as the details name them, else the record's own id."""
        details = _details(record)
        return str(details.get("env") or "imported"), str(details.get("task_id") or record.get("id") or place)

    def trajectory(self, record: Record, place: str) -> Trajectory:
        """The trajectory, with the rewards that it tells."""
        found, details = super().trajectory(record, place), _details(record)
        items = [each for each in record["content"] if each.get("class_") == "message_action"]
        rewards = [_number(each.get("reward")) for each in items[-len(found.turns) :]]
        last = record["content"][-1]
        ends = last["content"] if last.get("class_") == "text_observation" else ""
        turns = [
            replace(turn, reward=reward or 0.0) for turn, reward in zip(found.turns, rewards, strict=True)
        ]
        turns[-1] = replace(turns[-1], observation=ends)
        return replace(
            found,
            turns=tuple(turns),
            reward=_number(details.get("reward")),
            policy=str(details.get("policy") or POLICY),
        )

    def record(self, trajectory: Trajectory) -> Record:
        """All that was said, and what earned a reward; details are texts."""
        said_in(trajectory)  # refuses an attempt that failed
        content = [_item(each) for each in trajectory.prompt]
        for turn in trajectory.turns:
            action = {"class_": "message_action", "content": turn.reply.text, "reward": turn.reward}
            thought = turn.reply.reasoning
            content.append(action | ({"reasoning_content": thought} if thought is not None else {}))
            if turn.observation:
                content.append(_observation(turn.observation, "environment"))
        task = trajectory.task
        details = {"env": task.env, "task_id": task.id, "policy": trajectory.policy}
        if trajectory.reward is not None:
            details["reward"] = json.dumps(trajectory.reward)
        return {"schema_version": VERSION, "id": trajectory.key, "content": content, "details": details}

    def unread(self, record: Record) -> Iterator[str]:
        """Names of fields that the protocol does not have."""
        yield from (name for name, value in record.items() if name not in self.fields and holds(value))
        for each in record["content"]:
            if isinstance(each, dict):
                yield from (f"content[].{name}" for name in each if name not in _ITEM and holds(each[name]))


def _item(message: Message) -> dict[str, Any]:
    """A message of the prompt; a demonstrated reply is observed, not acted."""
    if message.role == "tool":
        raise Unusable("has_tools", "the prompt holds the result of a tool")
    if message.role == "system":
        return _observation(message.content, "environment") | {"name": "system"}
    return _observation(message.content, "agent" if message.role == "assistant" else "user")


def _observation(text: str, source: str) -> dict[str, Any]:
    return {"class_": "text_observation", "content": text, "source": source}


def _said(item: Any) -> Message:
    """The message of an action or observation.

    Raises:
        Unusable: It is of another kind, or holds what is not text.
    """
    kind = item.get("class_") if isinstance(item, dict) else None
    if kind == "message_action":
        return message_of({"role": "assistant", **_parts(item)})
    if kind == "api_action":
        function = {"name": item.get("function"), "arguments": item.get("kwargs")}
        call = {"id": item.get("tool_call_id"), "type": "function", "function": function}
        return message_of({"role": "assistant", **_parts(item), "content": "", "tool_calls": [call]})
    if kind != "text_observation":
        raise Unusable("unsupported_part", short(item if kind is None else kind))
    if item.get("source") not in _SOURCES:
        raise Unusable("unknown_role", f"the source of an observation is {short(item.get('source'))}")
    role = "system" if item.get("name") == "system" else _SOURCES[item["source"]]
    answers = item.get("tool_call_id")
    if answers is not None:
        role = "tool"
    return message_of({"role": role, "content": item.get("content"), "tool_call_id": answers}, default=False)


def _parts(item: Record) -> dict[str, Any]:
    """What an action says and thinks; its description is a thought, too."""
    thoughts = [item.get("reasoning_content"), item.get("description")]
    named = dict(zip(("reasoning_content", "thinking"), thoughts, strict=True))
    return {"content": item.get("content"), **{name: text for name, text in named.items() if holds(text)}}


def _details(record: Record) -> Record:
    details = record.get("details") or {}
    if not isinstance(details, dict):
        raise Unusable("bad_field", f"details is {short(details)}, not an object")
    return details


def _number(value: Any) -> float | None:
    """A reward; None if the record has none.

    Raises:
        Unusable: It is not a finite number.
    """
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise Unusable("bad_field", f"a reward is {short(value)}, not a finite number")
    return number
