"""Files of conversations for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agentray.encoding import encode
from agentray.formats.messages import to_record
from agentray.types import Conversation, Message


def write_messages(path: Path, conversations: Sequence[Conversation | Sequence[Message]]) -> None:
    """Write conversations as OpenAI messages, one a line."""
    said = (each if isinstance(each, Conversation) else Conversation(tuple(each)) for each in conversations)
    path.write_bytes(b"".join(encode(to_record(each)) + b"\n" for each in said))
