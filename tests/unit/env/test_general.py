"""The environment `general` with a user's own questions."""

import json

import pytest

from agentray.env.general import General
from agentray.errors import DataError, UsageError
from agentray.types import Message


def questions(tmp_path, *rows):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return General(data=str(path))


def test_questions_are_asked_in_turn_after_their_instruction(tmp_path):
    rules = [{"role": "system", "content": "Be brief."}]
    asked = {"id": "a", "turns": ["One?", "Two?"], "instruction": rules, "split": "test"}
    environment = questions(tmp_path, asked, {"turns": ["Other?"]})
    (task,) = environment.tasks("test")
    assert task.id == "test/a" and environment.instruction(task) == (Message("system", "Be brief."),)
    (other,) = environment.tasks("train")
    assert other.id == "train/2" and environment.instruction(other) == ()
    game = environment.make()
    assert game.reset(options={"task": task}) == ("One?", {})
    assert game.step("1") == ("Two?", 0.0, False, False, {"action": "1"})
    assert game.step("2") == ("", 1.0, True, False, {"action": "2"})
    with pytest.raises(RuntimeError, match="after the end"):
        game.step("3")


def test_later_tasks_are_those_of_the_whole_stream(tmp_path):
    environment = questions(tmp_path, *({"turns": [f"{i}?"]} for i in range(5)))
    assert list(environment.tasks("train", 3)) == list(environment.tasks("train"))[3:]


@pytest.mark.parametrize(
    "row", [[], {"turns": []}, {"turns": [1]}, {"turns": ["?"], "split": "tset"}, {"id": 1}]
)
def test_a_line_that_is_no_question_is_named(tmp_path, row):
    with pytest.raises(DataError, match=r"line 2 of .* is no question"):
        list(questions(tmp_path, {"turns": ["?"]}, row).tasks("train"))


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="absent"):
        list(General(data=str(tmp_path / "absent.jsonl")).tasks("train"))
