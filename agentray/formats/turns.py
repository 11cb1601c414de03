"""One message of a record, whatever tool wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentray.formats import marks
from agentray.formats.calls import calls_in, calls_of
from agentray.formats.reasons import Reason, Unusable, short
from agentray.types import Message, Role

_CALL = "function_call"
"""A turn of the assistant whose text is the calls."""
_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    _CALL: "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
}
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_TEXTS = frozenset({"text", "input_text", "output_text"})
_IMAGES = frozenset({"image", "image_url", "input_image", "video", "video_url"})
_NAMES = ("name", "tool_call_id")
_ELSEWHERE: Mapping[str, Reason] = {
    "tools": "bad_tools",
    "functions": "bad_tools",
    "function_calls": "bad_tool_call",
}
"""Fields that some templates read of a message; tools belong to the record, calls into `tool_calls`."""
FIELDS = frozenset(
    {"role", "from", "content", "value", "tool_calls", _CALL, "refusal", "audio", "mask"}
    | {*_THOUGHTS, *_ELSEWHERE, *marks.FIELDS, *marks.SPANS}
)
"""Fields that are read of every message."""


def message_of(turn: Any, *, default: bool = True, more: Sequence[marks.Mark] = ()) -> Message:
    """The message of one turn.

    Args:
        turn: Its record.
        default: Whether a reply carries loss that nothing marks.
        more: What its conversation says of its loss.

    Raises:
        Unusable: Something in it cannot be honoured.
    """
    if not isinstance(turn, dict):
        raise Unusable("bad_content", f"{short(turn)} is not an object")
    spoken_by = _role(turn)
    role = _ROLES[spoken_by]
    if turn.get("refusal"):
        raise Unusable("refusal", short(turn["refusal"]))
    if turn.get("audio"):
        raise Unusable("unsupported_part", "audio")
    for name, reason in _ELSEWHERE.items():
        if turn.get(name):
            raise Unusable(reason, f"{name} in a message")
    reasoning, calls = _reasoning(turn), calls_of(turn)
    content = _content(turn, optional=bool(calls or reasoning))
    if spoken_by == _CALL:
        if calls:
            raise Unusable("ambiguous", "a function_call turn has calls beside its text")
        content, calls = "", calls_in(content)
    if role != "assistant" and (calls or reasoning):
        raise Unusable("bad_tool_call" if calls else "bad_field", f"on a message of role {role}")
    mark = marks.marked(turn, more)
    if mark and role != "assistant":
        raise Unusable("loss_on_user", f"on a message of role {role}")
    says = role == "assistant" and bool(content.strip() or calls or reasoning)
    return Message(
        role,
        content,
        loss=says and (default if mark is None else mark),
        reasoning=reasoning,
        tool_calls=calls,
        name=_name(turn, "name") if role == "tool" else None,
        tool_call_id=_name(turn, "tool_call_id") if role == "tool" else None,
    )


def unknown_fields(turn: Any) -> list[str]:
    """Fields of a turn that hold something and are not read, each as `messages[].NAME`."""
    if not isinstance(turn, dict):
        return []
    known = FIELDS
    roles = [turn.get(key) for key in ("role", "from")]
    if any(isinstance(each, str) and _ROLES.get(each.strip().lower()) == "tool" for each in roles):
        known = FIELDS.union(_NAMES)
    found = [f"messages[].{name}" for name in turn if name not in known and holds(turn[name])]
    parts = turn.get("content", turn.get("value"))
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict):
            extra = (name for name in part if name not in ("type", "text") and holds(part[name]))
            found += [f"messages[].content[].{name}" for name in extra]
    return found


def holds(value: Any) -> bool:
    """Whether a field's value says anything."""
    return value is not None and value not in ("", [], {})


def _role(turn: Mapping[str, Any]) -> str:
    names = [turn[key] for key in ("role", "from") if turn.get(key) is not None]
    if not names:
        raise Unusable("unknown_role", f"a message has no role; it has {', '.join(map(short, turn))}")
    if not all(isinstance(each, str) and each.strip().lower() in _ROLES for each in names):
        raise Unusable("unknown_role", ", ".join(map(short, names)))
    known = [str(each).strip().lower() for each in names]
    if len({_ROLES[each] for each in known}) > 1:
        raise Unusable("ambiguous", f"role is {names[0]!r} and from is {names[1]!r}")
    return known[0]


def _content(turn: Mapping[str, Any], *, optional: bool) -> str:
    found = [turn[key] for key in ("content", "value") if turn.get(key) is not None]
    if len(found) == 2 and found[0] != found[1]:
        raise Unusable("ambiguous", "content and value of a message differ")
    if not found:
        if optional:
            return ""
        raise Unusable("bad_content", "a message has no content")
    content = found[0]
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(_part, content))
    raise Unusable("bad_content", f"the content of a message is {short(content)}")


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        raise Unusable("bad_content", f"a part of a message is {short(part)}")
    kind = part.get("type") if isinstance(part.get("type"), str) else None
    if kind in _IMAGES:
        raise Unusable("image_part", short(kind))
    if kind == "refusal":
        raise Unusable("refusal", short(part.get("refusal")))
    if kind not in _TEXTS:
        raise Unusable("unsupported_part", short(part if kind is None else kind))
    if not isinstance(part.get("text"), str):
        raise Unusable("bad_content", f"the text of a part is {short(part.get('text'))}")
    return str(part["text"])


def _reasoning(turn: Mapping[str, Any]) -> str | None:
    found = {name: turn[name] for name in _THOUGHTS if holds(turn.get(name))}
    for name, value in found.items():
        if not isinstance(value, str):
            raise Unusable("bad_field", f"{name} is {short(value)}, not text")
    texts = {value for value in found.values() if value.strip()}
    if len(texts) > 1:
        raise Unusable("conflicting_reasoning", f"{' and '.join(found)} differ")
    return next(iter(texts), None)


def _name(turn: Mapping[str, Any], key: str) -> str | None:
    value = turn.get(key)
    if value is not None and not isinstance(value, str):
        raise Unusable("bad_field", f"{key} is {short(value)}, not text")
    return value or None
