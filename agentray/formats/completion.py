"""TRL's prompt and completion, texts or lists of messages; loss is on the completion. Only read."""

from __future__ import annotations

from typing import Any

from agentray.formats.base import Format, Record


class Completion(Format):
    """Records such as `{"prompt": "2+2?", "completion": "4"}`."""

    fields = frozenset({"prompt", "completion"})

    def turns(self, record: Record) -> list[Any]:
        """The messages of both sides."""
        return [*_side(record["prompt"], "user"), *_side(record["completion"], "assistant")]

    def untrained(self, record: Record) -> int:
        """The prompt's messages."""
        return len(_side(record["prompt"], "user"))


def _side(value: Any, role: str) -> list[Any]:
    return value if isinstance(value, list) else [{"role": role, "content": value}]
