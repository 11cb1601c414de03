"""Conversations of other tools: ShareGPT, AgentInstruct and OpenAI messages in; the same out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentray.errors import DataError, UsageError
from agentray.types import Message, Role

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "bing": "assistant",
    "bard": "assistant",
}


@dataclass(frozen=True)
class Corpus:
    """Conversations of one file: `read == len(conversations) + sum(rejected.values())`."""

    conversations: list[tuple[Message, ...]]
    read: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Records left out, by reason."""


def read_conversations(path: Path) -> Corpus:
    """Conversations of a ShareGPT, AgentInstruct or OpenAI-messages file (`.json` array or `.jsonl`).

    Loss is on every assistant message, except where an AgentInstruct record says `"loss": false`.

    Raises:
        UsageError: The file does not exist.
        DataError: It is not JSON, or no record is a conversation.
    """
    rejected: Counter[str] = Counter()
    conversations = []
    read = 0
    for record in records(path):
        read += 1
        conversation, reason = conversation_of(record)
        if reason is None:
            conversations.append(conversation)
        else:
            rejected[reason] += 1
    if not conversations:
        raise DataError(
            f"{str(path)!r} holds no conversation",
            f"{read} records read, rejected: {dict(rejected)}",
            'give records with "messages" or "conversations"',
        )
    return Corpus(conversations, read, dict(rejected))


def write_messages(path: Path, conversations: Sequence[Sequence[Message]]) -> None:
    """Write conversations as OpenAI messages, one JSON record a line."""
    with path.open("w", encoding="utf-8") as stream:
        for conversation in conversations:
            record = {"messages": [{"role": each.role, "content": each.content} for each in conversation]}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def to_agentinstruct(conversation: Sequence[Message], identifier: str) -> dict[str, Any]:
    """The AgentInstruct record of a conversation: `loss` is null for the human side."""
    turns = [
        {"from": "gpt", "loss": each.loss, "value": each.content}
        if each.role == "assistant"
        else {"from": "human" if each.role == "user" else "system", "loss": None, "value": each.content}
        for each in conversation
    ]
    return {"conversations": turns, "id": identifier}


def records(path: Path) -> Iterator[Any]:
    """The records of a `.json` array, or of the lines of another file.

    Raises:
        UsageError: The file does not exist.
        DataError: It is not JSON.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            f"no file {str(path)!r}", "it does not exist", "give a .json or .jsonl file"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {str(path)!r}", str(error), "give a UTF-8 .json or .jsonl file"
        ) from error
    try:
        if path.suffix == ".json":
            document = json.loads(text)
            yield from document if isinstance(document, list) else [document]
        else:
            for line in text.split("\n"):  # text may hold what `splitlines` takes for more ends
                if line.strip():
                    yield json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"cannot read {str(path)!r}", f"not JSON: {error}", "correct the file") from error


def conversation_of(record: Any) -> tuple[tuple[Message, ...], str | None]:
    """The messages of one record, with loss on replies, and why it cannot be used (None when it can)."""
    turns = record.get("messages") or record.get("conversations") if isinstance(record, dict) else None
    if not isinstance(turns, list) or not turns:
        return (), "no_messages"
    messages = []
    for turn in turns:
        name = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
        content = turn.get("content", turn.get("value")) if isinstance(turn, dict) else None
        if not isinstance(name, str) or name not in _ROLES or not isinstance(content, str):
            return (), "unknown_role_or_content"
        role = _ROLES[name]
        messages.append(Message(role, content, loss=role == "assistant" and turn.get("loss") is not False))
    while messages and messages[-1].role != "assistant":
        messages.pop()
    body = [each.role for each in messages if each.role != "system"]
    if not any(each.loss and each.content.strip() for each in messages):
        return (), "no_reply"
    if any(role != ("user", "assistant")[index % 2] for index, role in enumerate(body)):
        return (), "roles_do_not_alternate"
    return tuple(messages), None
