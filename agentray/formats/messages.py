"""OpenAI messages: `{"messages": [{"role": "user", "content": "..."}, ...], "tools": [...]}`.

The form in which most tools exchange conversations, and what fine-tuning services take.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from agentray.formats.base import Format, Record, said_in
from agentray.formats.reasons import Unusable, short
from agentray.formats.turns import message_of
from agentray.types import Conversation, Message, Trajectory

LISTS = ("messages", "conversations", "conversation")
"""Fields that hold the messages of a record."""


class Listed(Format):
    """Records with a list of messages."""

    fields = frozenset(LISTS)
    lists: ClassVar[tuple[str, ...]] = LISTS
    """The fields of which one marks the form."""

    def fits(self, record: Record) -> bool:
        """Whether one of the lists holds anything."""
        return any(record.get(name) for name in self.lists)

    def turns(self, record: Record) -> list[Any]:
        """The messages; lists under two names must say the same."""
        lists = {name: record[name] for name in LISTS if record.get(name)}
        for name, value in lists.items():
            if not isinstance(value, list) or not any(isinstance(each, dict) for each in value):
                raise Unusable("no_messages", f"{name} is {short(value)}")
        first, *others = lists.values()
        if any(
            [message_of(turn) for turn in each] != [message_of(turn) for turn in first] for each in others
        ):
            raise Unusable("ambiguous", f"{' and '.join(lists)} differ")
        return list(first)


class Messages(Listed):
    """Records of OpenAI messages."""

    lists = ("messages",)

    def record(self, trajectory: Trajectory) -> Record:
        """All that was said; a reply without loss has weight 0."""
        return to_record(Conversation(said_in(trajectory)))


def to_record(said: Conversation) -> dict[str, Any]:
    """The record of a conversation; reading gives the same back, except for token ids."""
    record: dict[str, Any] = {"messages": list(map(_written, said.messages))}
    return record | ({"tools": list(said.tools)} if said.tools else {})


def _written(message: Message) -> dict[str, Any]:
    record: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning is not None:
        record["reasoning_content"] = message.reasoning
    if message.tool_calls:
        record["tool_calls"] = [_call(each) for each in message.tool_calls]
    for name in ("name", "tool_call_id"):
        if getattr(message, name) is not None:
            record[name] = getattr(message, name)
    if message.role == "assistant" and not message.loss:
        record["weight"] = 0
    return record


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return {**call, "function": {**call["function"], "arguments": arguments}}
