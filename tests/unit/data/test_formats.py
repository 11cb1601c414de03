import json
import os
from pathlib import Path

import pytest

from agentray.data.formats import read_conversations, to_agentinstruct, write_messages
from agentray.errors import DataError, UsageError
from agentray.types import Message

DATA = Path(os.environ.get("AGENTRAY_TEST_DATA") or Path(__file__).parents[3] / "../shared/data")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real records at AGENTRAY_TEST_DATA={DATA}")


def written(tmp_path, *records, name="a.jsonl"):
    path = tmp_path / name
    path.write_text("\n".join(json.dumps(each) for each in records))
    return path


def test_sharegpt_and_openai_records_give_the_same_conversation(tmp_path):
    sharegpt = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
    openai = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    first, second = read_conversations(written(tmp_path, sharegpt, openai)).conversations
    assert first == second == (Message("user", "a"), Message("assistant", "b", loss=True))


def test_agentinstruct_loss_flags_are_kept(tmp_path):
    conversation = (
        Message("user", "rules"),
        Message("assistant", "Ok."),
        Message("user", "task"),
        Message("assistant", "Act: finish", loss=True),
    )
    path = written(tmp_path, to_agentinstruct(conversation, "os_0"))
    assert read_conversations(path).conversations == [conversation]
    flags = [turn["loss"] for turn in to_agentinstruct(conversation, "os_0")["conversations"]]
    assert flags == [None, False, None, True]


def test_unusable_records_are_counted_by_reason(tmp_path):
    good = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    twice = {"messages": [*good["messages"], {"role": "assistant", "content": "c"}]}
    tool = {"conversations": [{"from": "function_call", "value": "{}"}, {"from": "gpt", "value": "b"}]}
    silent = {"messages": [{"role": "user", "content": "a"}]}
    corpus = read_conversations(written(tmp_path, good, twice, tool, silent, {"text": "x"}, [1]))
    assert corpus.rejected == {
        "roles_do_not_alternate": 1,
        "unknown_role_or_content": 1,
        "no_reply": 1,
        "no_messages": 2,
    }
    assert corpus.read == len(corpus.conversations) + sum(corpus.rejected.values())


@pytest.mark.parametrize("text", ["", "not json", '{"messages": []}'])
def test_a_file_without_conversations_is_refused(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(DataError):
        read_conversations(path)
    with pytest.raises(UsageError):
        read_conversations(tmp_path / "absent.jsonl")


def test_messages_survive_writing_and_reading(tmp_path):
    answer = "one\u2028two\u2029three\x85four\x0cfive\r\nsix"
    conversation = (Message("system", "s"), Message("user", "ü"), Message("assistant", answer, loss=True))
    write_messages(tmp_path / "a.jsonl", [conversation])
    assert read_conversations(tmp_path / "a.jsonl").conversations == [conversation]


@needs_data
def test_real_sharegpt_files_are_read():
    dummy = read_conversations(DATA / "general_instructions" / "sharegpt_dummy_conversation_head.json")
    assert (dummy.read, dict(dummy.rejected)) == (500, {})
    tools = read_conversations(DATA / "general_instructions" / "glaive_toolcall_en_head.json")
    assert tools.read == len(tools.conversations) + sum(tools.rejected.values())
    assert tools.conversations


@needs_data
def test_real_agentinstruct_records_carry_loss_where_they_say():
    path = DATA / "agent_trajectories" / "agentinstruct_samples.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    corpus = read_conversations(path)
    assert corpus.read == len(records)
    assert len(corpus.conversations) + sum(corpus.rejected.values()) == len(records)
