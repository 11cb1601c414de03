"""Why a record is not used: one word for counting, and in a few words what exactly is wrong.

`docs/data.md` says what each word means.
"""

from __future__ import annotations

from typing import Any, Literal

Reason = Literal[
    "ambiguous",
    "bad_content",
    "bad_field",
    "bad_loss_field",
    "bad_tool_call",
    "bad_tools",
    "conflicting_loss",
    "conflicting_reasoning",
    "cut_off_line",
    "failed",
    "fractional_weight",
    "has_reasoning",
    "has_tools",
    "image_part",
    "loss_on_user",
    "nested_too_deeply",
    "no_messages",
    "no_reply",
    "partial_loss",
    "preference",
    "record_weight",
    "refusal",
    "reply_without_loss",
    "roles_do_not_alternate",
    "two_system_prompts",
    "unencodable_text",
    "unknown_role",
    "unstorable",
    "unsupported_part",
]


class Unusable(Exception):
    """A record that cannot be used; caught where the record's place is known."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def short(value: Any) -> str:
    """A value as it is shown in a detail: on one line, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
