"""The environment `prompts`: its own prompts, and what tasks files ask through it."""

import pytest

from agentray.env.prompts import Prompts
from agentray.types import SPLITS, Message, Task


def task(data, fingerprint=None, **changes):
    fingerprint = fingerprint or Prompts().fingerprint(data)
    return Task(
        **({"env": "prompts", "id": "a", "split": "test", "data": data, "fingerprint": fingerprint} | changes)
    )


def test_questions_are_asked_in_turn_after_their_instruction():
    rules = [{"role": "system", "content": "Be brief."}]
    asked = task({"turns": ["One?", "Two?"], "instruction": rules, "level": 3})
    Prompts().check_task(asked)
    assert Prompts().instruction(asked) == (Message("system", "Be brief."),)
    assert Prompts().instruction(task({"turns": ["Other?"]})) == ()
    game = Prompts().make()
    assert game.reset(options={"task": asked}) == ("One?", {})
    assert game.step("1") == ("Two?", 0.0, False, False, {"action": "1"})
    assert game.step("2") == ("", 1.0, True, False, {"action": "2"})
    with pytest.raises(RuntimeError, match="after the end"):
        game.step("3")


def test_every_prompt_of_ours_is_in_one_split_and_its_task_is_its_own():
    made = {split: list(Prompts().tasks(split)) for split in SPLITS}
    texts = [each.data["prompt"] for stream in made.values() for each in stream]
    assert len(texts) == len(set(texts)) == 400 and len(made["test"]) == len(made["validation"]) == 40
    for each in made["train"]:
        Prompts().check_task(each)


def test_a_fingerprint_is_of_what_is_asked():
    rules = [{"role": "user", "content": "Be brief."}]
    found = [
        {"turns": ["One?"]},
        {"turns": ["Two?"]},
        {"turns": ["One?"], "instruction": rules},
        {"prompt": "One?"},
    ]
    assert len({Prompts().fingerprint(each) for each in found}) == 4
    assert Prompts().fingerprint({"turns": ["One?"], "level": 1}) == Prompts().fingerprint(
        {"turns": ["One?"]}
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({}, "turns are not a list of texts"),
        ({"prompt": 5}, "turns are not a list of texts"),
        ({"turns": []}, "turns are not a list of texts"),
        ({"turns": [1]}, "turns are not a list of texts"),
        ({"turns": 7}, "turns are not a list of texts"),
        ({"turns": "What is rain?"}, "turns are not a list of texts"),
        ({"turns": {"What is rain?": 1}}, "turns are not a list of texts"),
        ({"turns": ["?"], "instruction": "Be brief."}, "instruction is not a list of messages"),
        ({"turns": ["?"], "instruction": ["Be brief."]}, "instruction is not a list of messages"),
        ({"turns": ["?"], "instruction": [{"role": "system"}]}, "instruction is not"),
        ({"turns": ["?"], "instruction": [{"role": "critic", "content": "a"}]}, "instruction is not"),
        (
            {"turns": ["?"], "instruction": [{"role": "user", "content": "a", "tool_calls": []}]},
            "and no more",
        ),
        ({"turns": ["?"]}, "does not fit its data"),
    ],
)
def test_a_task_that_cannot_be_asked_is_refused(data, why):
    with pytest.raises(ValueError, match=why):
        Prompts().check_task(task(data, fingerprint="0" * 16))
