"""ShareGPT: `{"id": "...", "conversations": [{"from": "human", "value": "..."}, {"from": "gpt", ...}]}`."""

from __future__ import annotations

from typing import Any

from agentray.formats.base import Record, said_in
from agentray.formats.messages import Listed
from agentray.formats.reasons import Unusable
from agentray.types import Message, Trajectory

_NAMES = {"assistant": "gpt", "user": "human", "tool": "observation"}


class ShareGPT(Listed):
    """Records of turns from `human` and `gpt`."""

    lists = ("conversations", "conversation")
    keeps = frozenset({"task"})

    def record(self, trajectory: Trajectory) -> Record:
        """All that was said; a reply without loss has weight 0, where others have no mark."""
        task = trajectory.task
        turns = [self.turn(each) for each in said_in(trajectory)]
        return {"id": task.id, "environment": task.env, "conversations": turns}

    def turn(self, message: Message) -> dict[str, Any]:
        """The turn of a message."""
        weight = {"weight": 0} if message.role == "assistant" and not message.loss else {}
        return {"from": speaker(message), "value": message.content, **weight}


def speaker(message: Message) -> str:
    """What the role of a message is called.

    Raises:
        Unusable: The message has reasoning or calls.
    """
    if message.reasoning:
        raise Unusable("has_reasoning", "the format has no place for reasoning")
    if message.tool_calls:
        raise Unusable("has_tools", "the format has no place for calls of tools")
    return _NAMES.get(message.role, message.role)
