"""Conversations of other tools in, whatever form they have; OpenAI messages and AgentInstruct records out.

Nothing in a record vanishes without a word: what is known is honoured or costs the record, with a reason, and
the names of all other fields are counted. `docs/data.md` says how each field is read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from agentray.encoding import encode
from agentray.errors import DataError
from agentray.formats import marks
from agentray.formats.calls import tools_of
from agentray.formats.files import is_message, records
from agentray.formats.reasons import Unusable, short
from agentray.formats.turns import holds, message_of, unknown_fields
from agentray.types import Conversation, Message, Rejection

_LISTS = ("messages", "conversations", "conversation")
_SYSTEMS = ("system", "system_prompt")
_MEDIA = ("image", "images", "video", "videos", "audio", "audios")
_IDS = ("id", "idx", "index", "item_id", "prompt_id", "conversation_id", "uuid")
"""Names of the record itself; all that is ignored without being counted."""
_COMMON = frozenset({*_SYSTEMS, *_MEDIA, *_IDS, *marks.LISTS, "tools", "functions"})

_Turn = tuple[Any, bool]
"""A message's record, and whether it carries loss as a reply that nothing marks."""


@dataclass(frozen=True)
class Corpus:
    """Conversations of one file."""

    conversations: list[Conversation]
    rejected: list[Rejection] = field(default_factory=list)
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Fields that are not read, by name; those of messages are called `messages[].NAME`."""

    @property
    def read(self) -> int:
        """Records of the file."""
        return len(self.conversations) + len(self.rejected)


class _Shape(NamedTuple):
    """A form that records have."""

    fields: frozenset[str]
    """Fields that only this form has."""
    fits: Callable[[Mapping[str, Any]], bool]
    turns: Callable[[Mapping[str, Any]], list[_Turn]]


def read_conversations(path: Path) -> Corpus:
    """Conversations of a file, in the order of its records.

    Raises:
        UsageError: The file does not exist, or is a directory.
        DataError: It is not JSON, or no record is a conversation.
    """
    conversations: list[Conversation] = []
    rejected: list[Rejection] = []
    unknown: Counter[str] = Counter()
    for place, record in records(path):
        read = record if isinstance(record, Rejection) else conversation_of(record, place)
        if isinstance(read, Rejection):
            rejected.append(read)
        else:
            conversations.append(read)
        unknown.update(() if isinstance(record, Rejection) else fields_not_read(record))
    corpus = Corpus(conversations, rejected, dict(unknown))
    if not corpus.conversations:
        first = next((f"; {each.place}: {each.detail}" for each in corpus.rejected), "")
        reasons = dict(Counter(each.reason for each in corpus.rejected))
        raise DataError(
            f"{str(path)!r} holds no conversation",
            f"{corpus.read} records read, rejected: {reasons}{first}",
            'give records with "messages" or "conversations"; docs/data.md has every form',
        )
    return corpus


def conversation_of(record: Any, place: str = "") -> Conversation | Rejection:
    """The conversation of one record, or why it cannot be used.

    Replies carry loss unless the record says otherwise. What follows the last reply is left out.
    """
    try:
        return _conversation(record if isinstance(record, dict) else {"messages": record}, place)
    except Unusable as wrong:
        return Rejection(place, wrong.reason, wrong.detail)


def is_conversation(record: Any) -> bool:
    """Whether a record has the form of a conversation, usable or not."""
    if isinstance(record, list):
        return any(map(is_message, record))
    return isinstance(record, dict) and (bool(record.keys() & {*_LISTS}) or _shape(record) is not None)


def fields_not_read(record: Any) -> Iterator[str]:
    """Names of a record's fields that hold something and that `conversation_of` does not read."""
    if not isinstance(record, dict):
        record = {"messages": record}
    shape = _shape(record)
    known = _COMMON.union(shape.fields if shape else ())
    yield from (name for name, value in record.items() if name not in known and holds(value))
    for name in ("prompt", "completion", *_LISTS):
        value = record.get(name)
        if name in known and isinstance(value, list):
            for turn in value:
                yield from unknown_fields(turn)


def write_messages(path: Path, conversations: Sequence[Conversation | Sequence[Message]]) -> None:
    """Write conversations as OpenAI messages, one JSON record a line; reading gives the same back.

    A reply without loss has weight 0. Token ids are not written.
    """
    with path.open("wb") as stream:
        for each in conversations:
            said = each if isinstance(each, Conversation) else Conversation(tuple(each))
            record: dict[str, Any] = {"messages": list(map(_written, said.messages))}
            if said.tools:
                record["tools"] = list(said.tools)
            stream.write(encode(record) + b"\n")


def to_agentinstruct(conversation: Conversation | Sequence[Message], identifier: str) -> dict[str, Any]:
    """The AgentInstruct record of a conversation: `loss` is null for all but replies.

    Raises:
        DataError: It has tools, tool calls or reasoning, for which the form has no place.
    """
    said = conversation if isinstance(conversation, Conversation) else Conversation(tuple(conversation))
    if said.tools or any(each.tool_calls or each.reasoning for each in said.messages):
        raise DataError(
            f"{identifier!r} is not an AgentInstruct record",
            "it has tools, tool calls or reasoning, for which that form has no place",
            "write OpenAI messages",
        )
    names = {"assistant": "gpt", "user": "human"}
    turns = [
        {
            "from": names.get(each.role, each.role),
            "loss": each.loss if each.role == "assistant" else None,
            "value": each.content,
        }
        for each in said.messages
    ]
    return {"conversations": turns, "id": identifier}


def _conversation(record: Mapping[str, Any], place: str) -> Conversation:
    shape = _shape(record)
    if shape is None:
        raise Unusable("no_messages", f"its fields are {short(sorted(record))}")
    for name in _MEDIA:
        if holds(record.get(name)):
            raise Unusable("image_part", f"{name} is {short(record[name])}")
    if record.get("label") is False:
        raise Unusable("preference", "label is false: the reply is one to avoid")
    turns = shape.turns(record)
    said = marks.of_record(record, len(turns))
    messages = [
        _numbered(number, turn, default, more)
        for number, ((turn, default), more) in enumerate(zip(turns, said, strict=True), 1)
    ]
    while messages and messages[-1].role != "assistant":
        messages.pop()
    if not any(each.loss for each in messages):
        raise Unusable("no_reply", "no message of the assistant that says something carries loss")
    system = _system(record)
    if system and messages[0].role == "system":
        if messages[0].content != system:
            raise Unusable("two_system_prompts", "the record's differs from that of its messages")
    elif system:
        messages.insert(0, Message("system", system))
    return Conversation(tuple(messages), tools_of(record), place)


def _numbered(number: int, turn: Any, default: bool, more: Sequence[marks.Mark]) -> Message:
    try:
        return message_of(turn, default=default, more=more)
    except Unusable as wrong:
        raise Unusable(wrong.reason, f"message {number}: {wrong.detail}") from wrong


def _system(record: Mapping[str, Any]) -> str | None:
    found = {name: record[name] for name in _SYSTEMS if holds(record.get(name))}
    for name, value in found.items():
        if not isinstance(value, str):
            raise Unusable("bad_field", f"{name} is {short(value)}, not text")
    if len(set(found.values())) > 1:
        raise Unusable("two_system_prompts", f"{' and '.join(found)} differ")
    return next(iter(found.values()), None)


def _listed(record: Mapping[str, Any]) -> list[_Turn]:
    """Of a record whose messages are in a list."""
    lists = {name: record[name] for name in _LISTS if record.get(name)}
    for name, value in lists.items():
        if not isinstance(value, list) or not any(isinstance(each, dict) for each in value):
            raise Unusable("no_messages", f"{name} is {short(value)}")
    first, *others = lists.values()
    if any([message_of(turn) for turn in each] != [message_of(turn) for turn in first] for each in others):
        raise Unusable("ambiguous", f"{' and '.join(lists)} differ")
    return [(turn, True) for turn in first]


def _completed(record: Mapping[str, Any]) -> list[_Turn]:
    """Of TRL's prompt and completion, texts or messages; loss is on the completion."""
    sides = (("prompt", "user", False), ("completion", "assistant", True))
    return [
        (turn, default)
        for name, role, default in sides
        for turn in (
            record[name] if isinstance(record[name], list) else [{"role": role, "content": record[name]}]
        )
    ]


def _instructed(record: Mapping[str, Any]) -> list[_Turn]:
    """Of Alpaca's instruction, input and output, after a history of pairs."""
    history = record.get("history") or []
    if not isinstance(history, list) or not all(
        isinstance(each, list) and len(each) == 2 for each in history
    ):
        raise Unusable("bad_field", f"history is {short(history)}, not a list of pairs")
    given, output = _one_of(record, "input", "context"), _one_of(record, "output", "response")
    if given is not None and not isinstance(given, str):
        raise Unusable("bad_content", f"the input is {short(given)}")
    asked = record["instruction"]
    if isinstance(asked, str) and isinstance(given, str) and given.strip():
        asked = f"{asked}\n{given}" if asked.strip() else given
    pairs = [*history, (asked, output)]
    sides = ("user", "assistant")
    return [
        ({"role": role, "content": text}, True)
        for pair in pairs
        for role, text in zip(sides, pair, strict=True)
    ]


def _one_of(record: Mapping[str, Any], *names: str) -> Any:
    found = [record[name] for name in names if holds(record.get(name))]
    if len(found) == 2 and found[0] != found[1]:
        raise Unusable("ambiguous", f"{' and '.join(names)} differ")
    return found[0] if found else next((record[name] for name in names if name in record), None)


_SHAPES = (
    _Shape(frozenset(_LISTS), lambda record: any(record.get(name) for name in _LISTS), _listed),
    _Shape(
        frozenset({"prompt", "completion"}),
        lambda record: {"prompt", "completion"} <= record.keys(),
        _completed,
    ),
    _Shape(
        frozenset({"instruction", "input", "context", "output", "response", "history"}),
        lambda record: "instruction" in record and bool({"output", "response"} & record.keys()),
        _instructed,
    ),
)


def _shape(record: Mapping[str, Any]) -> _Shape | None:
    return next((each for each in _SHAPES if each.fits(record)), None)


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
