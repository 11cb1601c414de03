"""The environment `prompts` with a user's own questions."""

import json

import pytest

from agentray.env.prompts import Prompts
from agentray.errors import DataError, UsageError
from agentray.types import Message


def questions(tmp_path, *rows):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Prompts(data=str(path))


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
    ("row", "why"),
    [
        ([], "not an object"),
        ("What is rain?", "not an object"),
        ({"id": 1}, "turns are not a list of texts"),
        ({"turns": []}, "turns are not a list of texts"),
        ({"turns": [1]}, "turns are not a list of texts"),
        ({"turns": 7}, "turns are not a list of texts"),
        ({"turns": "What is rain?"}, "turns are not a list of texts"),
        ({"turns": {"What is rain?": 1}}, "turns are not a list of texts"),
        ({"turns": ["?"], "split": "tset"}, "split is not one of train, validation, test"),
        ({"turns": ["?"], "split": ["train"]}, "split is not one of"),
        ({"turns": ["?"], "id": None}, "id is neither"),
        ({"turns": ["?"], "id": True}, "id is neither"),
        ({"turns": ["?"], "id": ["a"]}, "id is neither"),
        ({"turns": ["?"], "instruction": "Be brief."}, "instruction is not a list of messages"),
        ({"turns": ["?"], "instruction": ["Be brief."]}, "instruction is not a list of messages"),
        ({"turns": ["?"], "instruction": [{"role": "system"}]}, "instruction is not"),
        ({"turns": ["?"], "instruction": [{"role": "critic", "content": "a"}]}, "instruction is not"),
        (
            {"turns": ["?"], "instruction": [{"role": "user", "content": "a", "tool_calls": []}]},
            "and no more",
        ),
        ({"turns": ["rain \ud83d?"]}, "surrogate pair"),
        ({"turns": ["?"], "level": {"name": "\ud83d"}}, "surrogate pair"),
        ({"turns": ["rain\0?"]}, "NUL"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path, row, why):
    with pytest.raises(DataError, match=r"questions\.jsonl:2 is not a question") as caught:
        list(questions(tmp_path, {"turns": ["?"]}, row).tasks("train"))
    assert why in caught.value.why


@pytest.mark.parametrize("line", ["no json", "[" * 100_000, '{"turns": ["?"], "n": ' + "1" * 5000 + "}"])
def test_a_line_that_is_not_json_is_named(tmp_path, line):
    (tmp_path / "questions.jsonl").write_text(f'\ufeff{{"turns": ["?"]}}\n{line}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"(?s)questions\.jsonl:2 is not a question.*(not JSON|too deeply)"):
        list(Prompts(data=str(tmp_path / "questions.jsonl")).tasks("train"))


def test_a_question_may_hold_what_python_takes_for_the_end_of_a_line(tmp_path):
    texts = [f"one{end}two" for end in ("\u2028", "\u2029", "\x85")]
    path = tmp_path / "questions.jsonl"
    rows = [json.dumps({"turns": [text]}, ensure_ascii=False) for text in texts]
    path.write_text("\r\n".join([*rows, "", ""]), encoding="utf-8")
    assert [task.data["turns"] for task in Prompts(data=str(path)).tasks("train")] == [
        [each] for each in texts
    ]


def test_two_questions_with_one_id_are_refused(tmp_path):
    asked = [{"id": "2", "turns": ["One?"]}, {"turns": ["Two?"]}]
    with pytest.raises(DataError, match=r"lines 1 and 2 of .* are both 'train/2'"):
        next(questions(tmp_path, *asked).tasks("train"))
    assert len(list(questions(tmp_path, asked[0], {"split": "test", **asked[0]}).tasks("train"))) == 1


def test_a_file_that_is_no_text_is_a_data_error(tmp_path):
    (tmp_path / "questions.jsonl").write_bytes(b"\x89PNG\xff")
    with pytest.raises(DataError, match=r"(?s)questions\.jsonl:1 is not a question.*not UTF-8"):
        list(Prompts(data=str(tmp_path / "questions.jsonl")).tasks("train"))


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="absent"):
        list(Prompts(data=str(tmp_path / "absent.jsonl")).tasks("train"))


def test_a_data_file_that_is_no_path_is_refused():
    with pytest.raises(UsageError, match=r"env\.prompts\.data"):
        Prompts(data=5)
