"""What cannot be honoured costs its record, with a reason that the documents explain."""

import json
from pathlib import Path
from typing import get_args

import pytest

from agentray.formats.conversations import conversation_of
from agentray.formats.reasons import Reason
from agentray.types import Rejection

PAGE = Path(__file__).parents[3] / "docs" / "data.md"
ASK, SAY = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def chat(*turns, **record):
    return {"messages": list(turns), **record}


def say(**fields):
    """A record whose reply has more fields."""
    return chat(ASK, SAY | fields)


def ask(**fields):
    """A record whose question has more fields."""
    return chat(ASK | fields, SAY)


ELSEWHERE = {
    "cut_off_line",
    "nested_too_deeply",
    "failed",
    "has_reasoning",
    "has_tools",
    "reply_without_loss",
    "roles_do_not_alternate",
    "unstorable",
}
"""Reasons that test_files.py and test_transfer.py try."""
UNUSABLE = {
    "ambiguous": [
        chat(ASK, SAY, conversations=[ASK, SAY | {"content": "c"}]),
        say(value="c"),
        say(**{"from": "human"}),
        say(tool_calls=[CALL], function_call=CALL["function"]),
        chat(ASK, {"from": "function_call", "value": json.dumps(CALL), "tool_calls": [CALL]}, SAY),
        {"instruction": "a", "output": "b", "response": "c"},
        {"instruction": "a", "input": "b", "context": "c", "output": "d"},
    ],
    "bad_content": [
        ask(content=1),
        ask(content=["a"]),
        ask(content=None),
        say(content=None),
        say(content={"text": "b"}),
        ask(content=[{"type": "text", "text": 1}]),
        chat(ASK, "b"),
        chat({"role": "user", "text": "a"}, SAY),
        {"prompt": ["a"], "completion": "b"},
        {"prompt": None, "completion": "b"},
        {"instruction": "a", "output": ["b", "c"]},
        {"instruction": "a", "input": ["b"], "output": "c"},
        {"instruction": ["a"], "output": "c"},
    ],
    "bad_field": [
        chat(ASK, SAY, system=["s"]),
        say(reasoning=["so"]),
        ask(reasoning="so"),
        chat(ASK, {"role": "tool", "content": "t", "tool_call_id": 1}, SAY),
        chat(ASK, {"role": "tool", "content": "t", "name": ["f"]}, SAY),
        {"instruction": "a", "output": "b", "history": ["a", "b"]},
    ],
    "bad_loss_field": [
        say(loss="maybe"),
        say(loss=0.5),
        say(train=2),
        say(loss_mask=[0, 1]),
        say(loss={}),
        say(mask=True),
        chat(ASK, SAY, loss_mask=[1]),
        chat(ASK, SAY, loss_mask=[0, "maybe"]),
    ],
    "bad_tool_call": [
        say(tool_calls=[{"function": {"name": "f", "arguments": "not json"}}]),
        say(tool_calls=[{"function": {"name": "f", "arguments": "[1]"}}]),
        say(tool_calls=[{"function": {"name": "f", "parameters": {}}}]),
        say(tool_calls=[{"function": {"arguments": "{}"}}]),
        say(tool_calls=[{"type": "custom", "custom": {"name": "f", "input": "x"}}]),
        say(tool_calls=[CALL | {"id": 7}]),
        say(tool_calls=CALL),
        say(tool_calls=["f()"]),
        say(function_call="f()"),
        say(function_calls="f()"),
        ask(tool_calls=[CALL]),
        chat(ASK, {"from": "function_call", "value": "f()"}, SAY),
        chat(ASK, {"from": "function_call", "value": ""}, SAY),
    ],
    "bad_tools": [
        chat(ASK, SAY, tools="none"),
        chat(ASK, SAY, tools={"name": "f"}),
        chat(ASK, SAY, tools=["f"]),
        chat(ASK, SAY, tools=[{"type": "web_search"}]),
        chat(ASK, SAY, tools=[{"type": "function", "function": {"description": "no name"}}]),
        chat(ASK, SAY, tools=[{"type": ["function"]}]),
        chat(ASK, SAY, tools=[TOOL], functions=[{"name": "g"}]),
        chat({"role": "system", "content": "s", "tools": [TOOL]}, ASK, SAY),
    ],
    "conflicting_loss": [
        say(weight=0, train=True),
        chat(ASK, SAY | {"loss": True}, loss_mask=[0, 0]),
        chat(ASK, SAY, loss_mask=[0, 0], weights=[0, 1]),
    ],
    "conflicting_reasoning": [say(reasoning="so", thinking="thus")],
    "fractional_weight": [say(weight=0.5), say(weight=2), chat(ASK, SAY, weights=[0, 0.3])],
    "image_part": [
        ask(content=[{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "a"}]),
        ask(content=[{"type": "image"}]),
        chat(ASK, SAY, images=["a.png"]),
        chat(ASK, SAY, image="a.png"),
        chat(ASK, SAY, videos=["a.mp4"]),
    ],
    "loss_on_user": [
        ask(weight=1),
        ask(loss=True),
        chat({"role": "system", "content": "s", "train": True}, ASK, SAY),
        chat(ASK, SAY, loss_mask=[1, 1]),
    ],
    "no_messages": [
        {},
        [],
        7,
        None,
        "a",
        [1],
        {"text": "a"},
        {"messages": "a"},
        {"messages": {"role": "user", "content": "a"}},
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"instruction": "a", "instances": [{"input": "", "output": "b"}]},
    ],
    "no_reply": [
        chat(ASK),
        say(content=" "),
        say(weight=0),
        chat(ASK, SAY | {"loss": False}, ASK, SAY | {"content": ""}),
        {"instruction": "a", "output": ""},
    ],
    "partial_loss": [say(train_detail=[{"begin_offset": 0, "end_offset": 1, "train": False}])],
    "preference": [{"prompt": "a", "completion": "b", "label": False}],
    "record_weight": [chat(ASK, SAY, weight=0.5), chat(ASK, SAY, weight=0), chat(ASK, SAY, train=False)],
    "refusal": [say(content=None, refusal="no"), say(content=[{"type": "refusal", "refusal": "no"}])],
    "two_system_prompts": [
        chat({"role": "system", "content": "s"}, ASK, SAY, system="t"),
        chat(ASK, SAY, system="s", system_prompt="t"),
    ],
    "unencodable_text": [
        say(tool_calls=[{"function": {"name": "f", "arguments": r'{"x": "\ud83d"}'}}]),
        chat(ASK, SAY, tools=r'[{"name": "f", "description": "\u0000"}]'),
    ],
    "unknown_role": [
        chat({"role": "critic", "content": "a"}, SAY),
        chat({"from": 1, "value": "a"}, SAY),
        chat({"content": "a"}, SAY),
    ],
    "unsupported_part": [
        ask(content=[{"type": "input_audio", "input_audio": {}}]),
        ask(content=[{"type": ["text"]}]),
        say(audio={"id": "x"}),
    ],
}


@pytest.mark.parametrize(
    ("reason", "record"), [(reason, record) for reason, records in UNUSABLE.items() for record in records]
)
def test_what_cannot_be_honoured_costs_its_record(reason, record):
    found = conversation_of(record, "a.jsonl:3")
    assert isinstance(found, Rejection), found
    assert (found.place, found.reason) == ("a.jsonl:3", reason) and 0 < len(found.detail) < 300


def test_every_reason_is_tried_and_documented():
    reasons = set(get_args(Reason))
    assert reasons == {*UNUSABLE, *ELSEWHERE}
    page = PAGE.read_text(encoding="utf-8")
    assert not [each for each in reasons if f"| `{each}` |" not in page]
