"""What a record says is honoured, whatever tool wrote it, and what is not read is counted."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from chats import write_messages

from agentray.errors import DataError, UsageError
from agentray.formats.conversations import conversation_of, read_conversations
from agentray.types import Conversation, Message

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("AGENTRAY_TEST_DATA") or ROOT / "../shared/data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real records at AGENTRAY_TEST_DATA={DATA}")

ASK, SAY = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": [1, "ü"]}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
USER, REPLY = Message("user", "a"), Message("assistant", "b", loss=True)


def chat(*turns, **record):
    return {"messages": list(turns), **record}


def say(**fields):
    """A record whose reply has more fields."""
    return chat(ASK, SAY | fields)


def ask(**fields):
    """A record whose question has more fields."""
    return chat(ASK | fields, SAY)


def written(tmp_path, *records, name="a.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(each) for each in records))
    return path


@pytest.mark.parametrize(
    "record",
    [
        chat(ASK, SAY),
        [ASK, SAY],
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"conversations": [{"from": "Human", "value": "a"}, {"from": "ChatGPT", "value": "b"}]},
        {"conversations": [ASK, {"role": "model", "content": "b"}]},
        {"conversation": [ASK, SAY]},
        {"messages": [], "conversations": [ASK, SAY]},
        chat(ASK, SAY, conversations=[{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]),
        {"item_id": "x_1", "conversations": [ASK | {"loss": None}, SAY | {"loss": True}]},
        {"prompt": "a", "completion": "b"},
        {"prompt": [ASK], "completion": [SAY]},
        {"prompt": [ASK], "completion": "b"},
        {"instruction": "a", "input": "", "output": "b"},
        {"instruction": "", "input": "a", "output": "b", "history": []},
        {"instruction": "a", "response": "b", "context": None},
        chat({"role": "user", "content": [{"type": "text", "text": "a"}]}, SAY),
        chat(ASK, {"from": "bard", "content": [{"type": "text", "text": t} for t in ("", "b")]}),
        chat(ASK, SAY, ASK),
        chat(ASK, SAY, {"role": "system", "content": "s"}, {"role": "tool", "content": "t"}),
        say(weight=1, loss=None, train="true"),
        say(refusal=None, audio=None, function_call=None, tool_calls=None, reasoning_content=""),
        ask(weight=0, loss=False, name=None),
        chat(ASK, SAY, system="", tools="[]", functions=[], images=[], weight=1, loss_mask=None),
    ],
)
def test_every_form_of_a_record_gives_the_same_conversation(record):
    assert conversation_of(record, "here") == Conversation((USER, REPLY), (), "here")


@pytest.mark.parametrize("field", ["weight", "train", "trainable", "training", "loss", "loss_mask"])
@pytest.mark.parametrize(("on", "off"), [(True, False), (1, 0), (1.0, 0.0), ("True", "no"), ("1", "0")])
def test_a_reply_is_trained_on_as_its_mark_says(field, on, off):
    turns = [ASK, SAY | {field: off}, ASK, SAY | {field: on}, ASK, SAY | {field: None}, ASK, SAY]
    for record in (chat(*turns), {"prompt": turns[:2], "completion": turns[2:]}):
        said = conversation_of(record).messages
        assert [each.loss for each in said if each.role == "assistant"] == [False, True, True, True]


@pytest.mark.parametrize("field", ["weights", "loss_mask", "loss", "train"])
def test_a_list_of_the_record_marks_its_messages(field):
    record = chat(ASK, SAY, ASK, SAY, system="s", **{field: [0, 0, None, 1]})
    assert [each.loss for each in conversation_of(record).messages] == [False, False, False, False, True]


def test_replies_in_a_prompt_carry_no_loss_unless_marked():
    record = {"prompt": [ASK, SAY, ASK, SAY | {"weight": 1}, ASK], "completion": [SAY]}
    assert [each.loss for each in conversation_of(record).messages[1::2]] == [False, True, True]


def test_an_empty_reply_carries_no_loss():
    for empty in ("", " \n"):
        record = chat(ASK, {"role": "assistant", "content": empty, "loss": True}, ASK, SAY)
        said = conversation_of(record).messages
        assert [each.loss for each in said] == [False, False, False, True] and said[1].content == empty


@pytest.mark.parametrize(
    ("record", "system"),
    [
        (chat(ASK, SAY, system="s"), "s"),
        (chat(ASK, SAY, system_prompt="s", system="s"), "s"),
        (chat({"role": "developer", "content": "s"}, ASK, SAY), "s"),
        (chat({"role": "system", "content": "s"}, ASK, SAY, system="s"), "s"),
        ({"instruction": "a", "output": "b", "system": "s"}, "s"),
    ],
)
def test_the_system_prompt_comes_first(record, system):
    assert conversation_of(record).messages == (Message("system", system), USER, REPLY)


def test_alpaca_input_and_history_are_said():
    record = {"instruction": "a", "input": "i", "output": "b", "history": [["a", "b"]]}
    assert conversation_of(record).messages == (USER, REPLY, Message("user", "a\ni"), REPLY)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL]},
        {"tools": json.dumps([TOOL])},
        {"tools": [TOOL["function"]]},
        {"functions": [{"type": "function", **TOOL["function"]}]},
        {"tools": [TOOL], "functions": json.dumps([TOOL["function"]])},
    ],
)
def test_tools_come_in_one_form(fields):
    assert conversation_of(chat(ASK, SAY, **fields)).tools == (TOOL,)


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": json.dumps([CALL])},
        {"role": "assistant", "content": "", "tool_calls": [{"index": 0, **CALL["function"]}]},
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "f", "arguments": json.dumps(CALL["function"]["arguments"])},
        },
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"from": "function_call", "value": json.dumps([CALL["function"]])},
    ],
)
def test_tool_calls_come_in_one_form(turn):
    answer = {"role": "function", "name": "f", "tool_call_id": "1", "content": "4"}
    said = conversation_of(chat(ASK, turn, answer, SAY)).messages
    assert said[1] == Message("assistant", "", loss=True, tool_calls=(CALL,))
    assert said[2] == Message("tool", "4", name="f", tool_call_id="1")


def test_a_call_beside_text_and_the_last_call_are_kept():
    for arguments, said in (('{"x": 1}', {"x": 1}), ("", {}), (None, {})):
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        found = conversation_of(say(tool_calls=[call])).messages[-1]
        function = {"name": "f", "arguments": said}
        assert found.content == "b" and found.loss
        assert found.tool_calls == ({"type": "function", "id": "1", "function": function},)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_kept_apart(field):
    assert conversation_of(say(**{field: "so"})).messages[-1].reasoning == "so"
    silent = conversation_of(chat(ASK, {"role": "assistant", "content": None, field: "so"})).messages[-1]
    assert silent == Message("assistant", "", loss=True, reasoning="so")


def test_who_speaks_after_whom_is_left_to_the_template():
    tool = {"from": "observation", "value": "t"}
    for turns in (
        [SAY],
        [SAY, ASK, SAY],
        [ASK, ASK, SAY, SAY],
        [ASK, tool, SAY],
        [ASK, SAY, tool, tool, SAY],
    ):
        assert len(conversation_of(chat(*turns)).messages) == len(turns)


def test_a_file_gives_conversations_rejections_and_the_fields_not_read(tmp_path):
    good = chat(ASK | {"lang": "en", "name": "Ann"}, SAY | {"score": 0}, id=1, source="x", rating=None)
    part = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    path = written(tmp_path, good, {"text": "x"}, chat(ASK | {"content": [part]}, SAY, source="y", turns=[]))
    path.write_text(path.read_text() + "\n" + json.dumps(good)[:40])
    corpus = read_conversations(path)
    assert [each.place for each in corpus.conversations] == ["a.jsonl:1", "a.jsonl:3"]
    rejected = [(each.place, each.reason) for each in corpus.rejected]
    assert rejected == [("a.jsonl:2", "no_messages"), ("a.jsonl:4", "cut_off_line")]
    assert corpus.read == 4 and corpus.unknown == {
        "source": 2,
        "text": 1,
        "messages[].lang": 1,
        "messages[].name": 1,
        "messages[].score": 1,
        "messages[].content[].cache_control": 1,
    }


def test_fields_of_other_forms_are_not_read(tmp_path):
    corpus = read_conversations(written(tmp_path, chat(ASK, SAY, prompt="a", prompt_id="7", output="c")))
    assert corpus.unknown == {"prompt": 1, "output": 1}


@pytest.mark.parametrize("text", ["", "not json", '{"messages": []}', "[]", "{}"])
def test_a_file_without_conversations_is_refused(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(DataError):
        read_conversations(path)
    with pytest.raises(UsageError):
        read_conversations(tmp_path / "absent.jsonl")


def test_a_file_of_unusable_records_says_what_is_wrong_with_the_first(tmp_path):
    with pytest.raises(DataError, match=r"'fractional_weight': 2\}; a.jsonl:1: message 2: weight is 0.5"):
        read_conversations(written(tmp_path, say(weight=0.5), say(weight=0.5)))


def test_conversations_survive_writing_and_reading(tmp_path):
    answer = "one\u2028two\u2029three\x85four\x0cfive\r\nsix"
    call = CALL | {"id": "1"}
    said = (
        Message("system", "s"),
        Message("user", "ü"),
        Message("assistant", "", loss=True, reasoning="hm", tool_calls=(call, CALL)),
        Message("tool", "4", name="f", tool_call_id="1"),
        Message("assistant", "wrong"),
        Message("user", ""),
        Message("assistant", answer, loss=True),
    )
    path = tmp_path / "a.jsonl"
    write_messages(path, [Conversation(said, (TOOL,), "elsewhere"), said])
    first, second = read_conversations(path).conversations
    assert first == Conversation(said, (TOOL,), "a.jsonl:1")
    assert second == Conversation(said, (), "a.jsonl:2")
    record = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    assert json.loads(record["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"x": [1, "ü"]}


@needs_data
@pytest.mark.parametrize(
    ("name", "number", "unknown"),
    [
        ("general_instructions/sharegpt_dummy_conversation_head.json", 500, {}),
        ("general_instructions/glaive_toolcall_en_head.json", 200, {}),
        ("general_instructions/user_oriented_davinci003_head.jsonl", 180, {"prompt": 180, "target": 180}),
        ("agent_trajectories/agentinstruct_samples.jsonl", 18, {}),
        ("agent_trajectories/fireact_multitask_multimethod_head.jsonl", 1567, {}),
    ],
)
def test_real_records_are_read_whole(name, number, unknown):
    corpus = read_conversations(DATA / name)
    assert (len(corpus.conversations), corpus.rejected, corpus.unknown) == (number, [], unknown)


@needs_data
def test_real_tool_calls_are_read_with_their_tools():
    path = DATA / "general_instructions" / "glaive_toolcall_en_head.json"
    found = read_conversations(path).conversations
    roles = Counter(each.role for said in found for each in said.messages)
    assert roles == {"user": 525, "assistant": 525 + 137, "tool": 137}
    calls = [call for said in found for each in said.messages for call in each.tool_calls]
    offered = {tool["function"]["name"] for said in found for tool in said.tools}
    assert len(calls) == 137 and {call["function"]["name"] for call in calls} <= offered


@needs_data
def test_real_agent_records_carry_loss_on_every_reply():
    for said in read_conversations(DATA / "agent_trajectories" / "agentinstruct_samples.jsonl").conversations:
        assert [each.loss for each in said.messages] == [each.role == "assistant" for each in said.messages]
