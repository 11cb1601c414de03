import json
from dataclasses import replace

import pyarrow as pa
import pytest
from fakes import trajectory

from agentray.data.records import SCHEMA, from_row, messages, to_row
from agentray.errors import DataError
from agentray.types import Usage


def test_a_trajectory_survives_json_and_arrow():
    usage = trajectory().turns[0].reply.__class__("x", usage=Usage(3, 4), finish_reason="length")
    made = trajectory(turns=(trajectory().turns[0], trajectory().turns[1].__class__(usage, None, "", 0.5)))
    assert from_row(json.loads(json.dumps(to_row(made)))) == made
    table = pa.Table.from_pylist([to_row(made)], schema=SCHEMA)
    assert from_row(table.to_pylist()[0]) == made


def test_an_unknown_reward_stays_unknown():
    made = trajectory(reward=None, status="failed", error="it broke")
    assert from_row(to_row(made)).reward is None


def test_a_newer_schema_is_refused_with_its_version():
    with pytest.raises(DataError, match="schema version 99"):
        from_row(to_row(trajectory()) | {"schema_version": 99})


def test_a_row_of_something_else_is_refused():
    with pytest.raises(DataError, match="not a trajectory"):
        from_row({"schema_version": 1, "env": "count"})


def test_loss_is_on_the_replies_and_the_conversation_ends_with_one():
    conversation = messages(trajectory())
    assert [each.role for each in conversation] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
        "assistant",
    ]
    assert [each.loss for each in conversation] == [False, False, False, True, False, True]
    assert [each.token_ids for each in conversation[3::2]] == [(1, 2), None]


def test_a_reply_that_the_token_limit_ended_is_marked_as_cut():
    first, second = trajectory().turns
    cut = replace(first, reply=replace(first.reply, finish_reason="length"))
    conversation = messages(trajectory(turns=(cut, second)))
    assert [each.cut for each in conversation] == [False, False, False, True, False, False]
