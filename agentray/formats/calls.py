"""Tools and tool calls in the one form that chat templates take, from the forms that records have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentray.encoding import fault
from agentray.formats.reasons import Reason, Unusable, short

_Function = Mapping[str, Any]


def tools_of(record: Mapping[str, Any]) -> tuple[_Function, ...]:
    """The tools of a record's `tools` or older `functions`, lists or their JSON text.

    Raises:
        Unusable: They are something else, or the two fields disagree.
    """
    found = [_tools(record[name]) for name in ("tools", "functions") if record.get(name)]
    if len(found) == 2 and found[0] != found[1]:
        raise Unusable("bad_tools", "tools and functions differ")
    return found[0] if found else ()


def calls_of(turn: Mapping[str, Any]) -> tuple[_Function, ...]:
    """The calls of a message's `tool_calls` or older `function_call`.

    Raises:
        Unusable: They are no calls of functions, or both fields are there.
    """
    many, one = turn.get("tool_calls"), turn.get("function_call")
    if many and one:
        raise Unusable("ambiguous", "a message has tool_calls and function_call")
    if one:
        return (_call(_decoded(one, "bad_tool_call")),)
    found = _decoded(many, "bad_tool_call") if many else []
    if not isinstance(found, list):
        raise Unusable("bad_tool_call", f"tool_calls is {short(many)}, not a list")
    return tuple(map(_call, found))


def calls_in(text: str) -> tuple[_Function, ...]:
    """The calls that the text of a `function_call` turn spells out: a JSON object, or a list of them.

    Raises:
        Unusable: It is something else.
    """
    found = _decoded(text, "bad_tool_call")
    calls = tuple(map(_call, found if isinstance(found, list) else [found]))
    if not calls:
        raise Unusable("bad_tool_call", "a function_call turn calls nothing")
    return calls


def _tools(value: Any) -> tuple[_Function, ...]:
    found = _decoded(value, "bad_tools") or []
    if not isinstance(found, list):
        raise Unusable("bad_tools", f"{short(value)} is not a list")
    return tuple(map(_tool, found))


def _tool(value: Any) -> _Function:
    if isinstance(value, dict) and value.get("type", "function") == "function":
        inner = value.get("function", {key: each for key, each in value.items() if key != "type"})
        if isinstance(inner, dict) and isinstance(inner.get("name"), str) and inner["name"]:
            return {"type": "function", "function": inner}
    raise Unusable("bad_tools", f"{short(value)} is not a function with a name")


def _call(value: Any) -> _Function:
    if not isinstance(value, dict) or (value.get("type") or "function") != "function":
        raise Unusable("bad_tool_call", f"{short(value)} is not the call of a function")
    inner = value.get("function", value)
    name = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(name, str) or not name or not inner.keys() >= {"arguments"}:
        raise Unusable("bad_tool_call", f"{short(value)} has no name or no arguments")
    arguments = inner["arguments"]
    if isinstance(arguments, str) and arguments.strip():
        arguments = _decoded(arguments, "bad_tool_call")
    elif arguments is None or isinstance(arguments, str):
        arguments = {}
    if not isinstance(arguments, dict):
        raise Unusable("bad_tool_call", f"the arguments of {name!r} are {short(inner['arguments'])}")
    known = value.get("id")
    if known is not None and not isinstance(known, str):
        raise Unusable("bad_tool_call", f"the id of a call is {short(known)}, not text")
    function = {"name": name, "arguments": arguments}
    return {"type": "function", **({"id": known} if known else {}), "function": function}


def _decoded(value: Any, reason: Reason) -> Any:
    """What JSON text stands for; anything but text stands for itself."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return []
    try:
        document = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Unusable(reason, f"{short(value)} is not JSON: {error}") from error
    if wrong := fault(document):
        raise Unusable(*wrong)
    return document
