"""What a format writes it reads again: the same, or without what its documents say it loses."""

import json
from dataclasses import replace

import pytest
from fakes import trajectory

from agentray.data.records import messages
from agentray.formats.conversations import read_conversations
from agentray.formats.facts import FACTS
from agentray.formats.registry import FORMATS, get
from agentray.types import Message, Rejection, Reply, Source, Turn, Usage

RICH = Reply(
    "Action: 2",
    token_ids=(5, 6),
    logprobs=(-0.5, -0.125),
    usage=Usage(7, 2),
    finish_reason="stop",
    latency_s=0.25,
    prefix_kept=True,
    source=Source("m", "http://h:1/v1", "vllm/1"),
)
PLAIN = trajectory(0)
FULL = trajectory(
    1,
    prompt=(Message("system", "Be brief."), *PLAIN.prompt),
    turns=(
        replace(PLAIN.turns[0], state="s1", reward=0.5),
        Turn(RICH, "2", "Too late.\u2028ü", 0.5, "s2"),
    ),
    status="truncated",
    sample=3,
    temperature=0.7,
    error=None,
)
THINKING = replace(
    PLAIN, turns=(replace(PLAIN.turns[0], reply=Reply("Action: 1", reasoning="Hm.")), PLAIN.turns[1])
)
FAILED = replace(PLAIN, status="failed", reward=None, error="the worker died")
WRITTEN = {"openai": True, "sharegpt": False, "agentinstruct": False, "atif": True, "adp": True}
"""Formats that are written, and whether they have a place for reasoning."""


def through(name, tmp_path, *written):
    """What comes back of some trajectories, and what was refused."""
    path, refused = tmp_path / "file", []
    number = get(name).write(written, path, refused.append)
    assert number == len(written) - len(refused)
    return list(get(name).read(path)), refused


def test_all_formats_of_ours_are_tried():
    read_only = {"alpaca", "completion"}
    assert set(FORMATS.built_in) == {*WRITTEN, *read_only}


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("sent", [PLAIN, FULL], ids=["plain", "full"])
def test_what_was_said_comes_back(name, sent, tmp_path):
    [back], refused = through(name, tmp_path, sent)
    assert not refused
    assert [replace(each, token_ids=None, cut=False) for each in messages(sent)] == [
        replace(each, token_ids=None, cut=False) for each in messages(back)
    ]
    [said] = read_conversations(tmp_path / "file").conversations
    assert [(each.role, each.content, each.loss) for each in said.messages] == [
        (each.role, each.content, each.loss) for each in messages(sent)
    ]


KEPT = {
    "task": lambda sent, back: (back.task.env, back.task.id) == (sent.task.env, sent.task.id),
    "policy": lambda sent, back: back.policy == sent.policy,
    "reward": lambda sent, back: back.reward == sent.reward,
    "turn_rewards": lambda sent, back: [x.reward for x in back.turns] == [x.reward for x in sent.turns],
    "last_observation": lambda sent, back: back.turns[-1].observation == sent.turns[-1].observation,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_format_keeps_comes_back_and_the_rest_is_unknown(name, tmp_path):
    [back], _ = through(name, tmp_path, FULL)
    keeps = get(name).keeps
    if keeps == set(FACTS):
        assert back == FULL
        return
    assert keeps <= set(KEPT)
    known = {each for each, has in FACTS.items() if has(back)} - {"task", "policy"}
    assert known == keeps - {"task", "policy"}
    for each in KEPT:
        assert KEPT[each](FULL, back) == (each in keeps), each


@pytest.mark.parametrize("name", WRITTEN)
def test_reasoning_comes_back_or_costs_its_trajectory(name, tmp_path):
    found, refused = through(name, tmp_path, THINKING, PLAIN)
    if WRITTEN[name]:
        assert [each.reply.reasoning for each in found[0].turns] == ["Hm.", None] and not refused
    else:
        assert [(each.place, each.reason) for each in refused] == [(THINKING.key, "has_reasoning")]
        assert len(found) == 1


@pytest.mark.parametrize("name", WRITTEN)
def test_an_attempt_that_failed_is_kept_whole_or_refused(name, tmp_path):
    found, refused = through(name, tmp_path, FAILED, PLAIN)
    assert [each.reason for each in refused] == ([] if name == "atif" else ["failed"])
    assert (FAILED in found) == (name == "atif")


@pytest.mark.parametrize("name", WRITTEN)
def test_records_are_told_from_those_of_other_formats(name, tmp_path):
    through(name, tmp_path, PLAIN)
    record = json.loads((tmp_path / "file").read_text())
    fitting = {other for other in FORMATS.built_in if get(other).fits(record)}
    alike = {"sharegpt", "agentinstruct"}
    assert fitting == (alike if name in alike else {name})
    other = "atif" if name == "openai" else "openai"
    [rejected] = get(other).read(tmp_path / "file")
    assert isinstance(rejected, Rejection) and rejected.reason == "no_messages"


def test_a_file_may_mix_formats(tmp_path):
    path = tmp_path / "mixed.jsonl"
    for name in WRITTEN:
        through(name, tmp_path, PLAIN)
        with path.open("a") as stream:
            stream.write((tmp_path / "file").read_text())
    found = read_conversations(path)
    assert len(found.conversations) == len(WRITTEN) and not found.rejected and not found.unknown
    assert len({each.messages for each in found.conversations}) == 1


def test_agentinstruct_writes_the_records_of_its_data_set(tmp_path):
    through("agentinstruct", tmp_path, PLAIN)
    assert json.loads((tmp_path / "file").read_text()) == {
        "id": "count_train/0",
        "conversations": [
            {"from": "human", "loss": None, "value": "Count."},
            {"from": "gpt", "loss": False, "value": "Ok."},
            {"from": "human", "loss": None, "value": "From 0 to 2."},
            {"from": "gpt", "loss": True, "value": "Action: 1"},
            {"from": "human", "loss": None, "value": "Last number: 1"},
            {"from": "gpt", "loss": True, "value": "Action: 2"},
        ],
    }


def test_atif_has_a_step_for_each_message_of_the_prompt_and_each_reply(tmp_path):
    through("atif", tmp_path, FULL)
    record = json.loads((tmp_path / "file").read_text())
    steps = record["steps"]
    assert [each["step_id"] for each in steps] == [1, 2, 3, 4, 5, 6]
    assert [each["source"] for each in steps] == ["system", "user", "agent", "user", "agent", "agent"]
    assert [each.get("is_copied_context") for each in steps] == [None, None, True, None, None, None]
    assert steps[5]["metrics"] == {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "completion_token_ids": [5, 6],
        "logprobs": [-0.5, -0.125],
    }
    assert steps[5]["observation"] == {"results": [{"content": "Too late.\u2028ü"}]}
    assert record["schema_version"] == "ATIF-v1.7" and record["trajectory_id"] == FULL.key


STEPS = [
    {"step_id": 1, "source": "user", "message": "2+2?"},
    {
        "step_id": 2,
        "source": "agent",
        "message": "",
        "tool_calls": [{"tool_call_id": "1", "function_name": "add", "arguments": {"x": 2}}],
        "observation": {"results": [{"source_call_id": "1", "content": "4"}]},
    },
    {"step_id": 3, "source": "agent", "message": "4", "llm_call_count": 1, "metrics": {}},
]


def atif(*steps, **fields):
    return {
        "schema_version": "ATIF-v1.4",
        "agent": {"name": "a", "version": "1"},
        "steps": [*steps],
        **fields,
    }


def test_atif_of_other_agents_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(atif(*STEPS, odd=1), indent=1))
    found = read_conversations(path)
    [said] = found.conversations
    assert [each.role for each in said.messages] == ["user", "assistant", "tool", "assistant"]
    assert said.messages[1].tool_calls[0]["function"] == {"name": "add", "arguments": {"x": 2}}
    assert found.unknown == {"odd": 1}
    [rejected] = get("atif").read(path)
    assert rejected.reason == "has_tools"


def test_steps_that_are_context_carry_no_loss(tmp_path):
    path = tmp_path / "a.json"
    context = [STEPS[2] | {"is_copied_context": True}, STEPS[0], STEPS[2] | {"llm_call_count": 0}, STEPS[0]]
    path.write_text(json.dumps(atif(STEPS[0], *context, STEPS[2])))
    [said] = read_conversations(path).conversations
    assert [each.loss for each in said.messages if each.role == "assistant"] == [False, False, True]


OURS = {"extra": {"agentray": {"schema_version": 3}}}
ITEMS = [
    {"class_": "text_observation", "content": "2+2?", "source": "user"},
    {"class_": "message_action", "content": "4", "reward": 1.0},
]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (atif(*STEPS, **OURS), "bad_field"),
        (atif(*STEPS, continued_trajectory_ref="b.json"), "unsupported_part"),
        (atif({"source": "critic", "message": "a"}), "unknown_role"),
        (atif(7), "unknown_role"),
        (atif(STEPS[0], STEPS[1] | {"tool_calls": {}}), "no_reply"),
        (atif(STEPS[0], STEPS[1] | {"tool_calls": "f"}), "bad_tool_call"),
        (atif(STEPS[0], STEPS[1] | {"tool_calls": [7]}), "bad_tool_call"),
        (atif(STEPS[0], STEPS[2] | {"observation": {"results": [7]}}), "unsupported_part"),
        (atif(STEPS[0], STEPS[2] | {"observation": {"results": 7}}), "unsupported_part"),
        (atif(STEPS[0], STEPS[2] | {"message": [{"type": "image", "source": {}}]}), "image_part"),
        ({"id": "1", "content": [*ITEMS, {"class_": "code_action", "content": "x"}]}, "unsupported_part"),
        ({"id": "1", "content": [*ITEMS, 7]}, "unsupported_part"),
        ({"id": "1", "content": [ITEMS[0] | {"source": "critic"}, ITEMS[1]]}, "unknown_role"),
        ({"id": "1", "content": [ITEMS[0], ITEMS[1] | {"reward": "much"}]}, "bad_field"),
        ({"id": "1", "content": [ITEMS[0], ITEMS[1] | {"reward": float("nan")}]}, "bad_field"),
        ({"id": "1", "content": ITEMS, "details": []}, "ok"),
        ({"id": "1", "content": ITEMS, "details": [1]}, "bad_field"),
        (
            {"id": "1", "content": [ITEMS[0], {"class_": "api_action", "function": "f", "kwargs": {}}]},
            "has_tools",
        ),
    ],
)
def test_what_is_wrong_with_a_record_is_said(record, reason, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(record))
    [found] = get("atif" if "steps" in record else "adp").read(path)
    assert (found.reason if isinstance(found, Rejection) else "ok") == reason
