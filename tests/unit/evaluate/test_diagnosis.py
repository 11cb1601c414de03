"""The rules of the error types, each on a small record."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import trajectory

from agentray.env import FUNCTION_CALL_ERROR, ErrorType, Finding, build, resolve
from agentray.env.count import Count
from agentray.errors import DataError
from agentray.evaluate.diagnosis import GENERAL, ErrorTable, error_types, types_of
from agentray.types import Reply, Turn

PAGE = Path(__file__).parents[3] / "docs" / "evaluation.md"


def turn(text, action="", observation="ok", reward=0.0):
    return Turn(Reply(text), text if action == "" else action, observation, reward)


def attempt(*turns, reward=0.0, status="completed", error=None, index=0):
    return trajectory(index, turns=turns, reward=reward, status=status, error=error)


def found(trajectory, environment=None):
    return {(each.type, each.turn) for each in error_types(trajectory, environment)}


def table(trajectories, environments):
    made = ErrorTable(environments)
    for each in trajectories:
        assert made.add(each) == error_types(each, environments.get(each.task.env))
    return made.counts()


def test_a_won_attempt_without_a_slip_has_no_error():
    assert error_types(trajectory()) == ()


def test_an_infrastructure_failure_is_not_an_error_of_the_model():
    lost = attempt(turn("what?", None), reward=None, status="failed", error="TimeoutError: 60 s")
    assert error_types(lost) == (Finding("infrastructure_failure"),)


def test_a_reply_without_an_action_is_invalid_and_a_format_error():
    assert found(attempt(turn("go"), turn("hm", None), turn("hm?", None))) == {
        ("invalid_action", 1),
        ("invalid_action", 2),
        ("format_error", 1),
    }


def test_well_formed_replies_that_lose_are_a_reasoning_error():
    assert found(attempt(turn("go"), turn("look"))) == {("reasoning_error", None)}


def test_a_won_attempt_keeps_its_slips_but_is_no_format_error():
    assert found(attempt(turn("hm", None), turn("go", reward=1.0), reward=1.0)) == {("invalid_action", 0)}


def test_the_environment_says_from_which_reward_an_attempt_is_won():
    lenient = Count()
    lenient.reward_threshold = 0.5
    assert found(attempt(turn("go"), reward=0.6), lenient) == set()
    assert found(attempt(turn("go"), reward=0.6)) == {("reasoning_error", None)}


def test_three_equal_replies_in_a_row_are_a_short_term_repetition():
    steps = [turn("go", observation=f"step {i}") for i in range(4)]
    assert {each for each in found(attempt(*steps)) if "repetition" in each[0]} == {
        ("short_term_repetition", 2),
        ("short_term_repetition", 3),
    }
    assert found(attempt(*steps[:2])) == {("reasoning_error", None)}


def test_the_same_action_upon_the_same_observation_later_is_a_long_term_repetition():
    there, back = turn("go east", observation="a hall"), turn("go west", observation="a room")
    repeated = found(attempt(there, back, there, back, there))
    assert {each for each in repeated if "long" in each[0]} == {
        ("long_term_repetition", 3),
        ("long_term_repetition", 4),
    }


def test_the_same_action_upon_something_new_is_no_repetition():
    doors = [turn("open", observation=f"door {i}") for i in range(2)]
    assert found(attempt(doors[0], turn("go"), doors[1], reward=1.0)) == set()


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I can't help.",
        "I\u2019m sorry.",
        "As an AI, I have no kitchen.",
        "I apologize.",
        "i cannot do it",
    ],
)
def test_an_apology_without_an_action_is_a_refusal(text):
    assert ("refusal", 0) in found(attempt(turn(text, None)))
    assert ("refusal", 0) not in found(attempt(turn(text, "look")))


def test_silence_is_no_refusal():
    assert ("refusal", 0) not in found(attempt(turn("The mug is here.", None)))


def test_the_context_limit_is_told_from_the_turn_limit():
    full = attempt(turn("go"), status="truncated", error="ContextLimitError: 4,096 tokens")
    assert ("context_limit", None) in found(full) and ("turn_limit", None) not in found(full)
    used_up = attempt(turn("go"), turn("go on"), status="truncated", error="2 turns")
    assert ("turn_limit", None) in found(used_up, Count(max_turns=2))
    # Two replies of eight: the environment stopped early, for reasons that have types of their own.
    assert ("turn_limit", None) not in found(used_up, Count(max_turns=8))


def test_a_prompt_that_never_fitted_is_neither_format_nor_reasoning():
    assert found(attempt(status="truncated", error="context limit: 4,096 tokens")) == {
        ("context_limit", None)
    }


def test_an_environment_without_the_optional_method_is_judged_by_the_general_rules():
    assert types_of(Count()) == GENERAL == types_of(None)


class Telling(Count):
    error_types = (FUNCTION_CALL_ERROR, ErrorType("sulk", "Sulking", "it said nothing"))

    def diagnose(self, trajectory):
        yield Finding("sulk", 1)
        yield Finding("function_call_error", 0)
        yield Finding("sulk", 1)


class Undeclared(Telling):
    error_types = (FUNCTION_CALL_ERROR,)


def test_a_plugin_adds_types_of_its_own_before_the_infrastructure_failure():
    assert [each.id for each in types_of(Telling())][-3:] == [
        "function_call_error",
        "sulk",
        "infrastructure_failure",
    ]
    assert error_types(trajectory(), Telling()) == (Finding("function_call_error", 0), Finding("sulk", 1))


def test_a_plugin_that_finds_what_it_does_not_declare_is_named():
    with pytest.raises(DataError, match="'count' found an error type 'sulk'"):
        error_types(trajectory(), Undeclared())


def test_the_table_counts_attempts_not_turns_and_keeps_the_infrastructure_failure_apart():
    made = [
        attempt(turn("hm", None), turn("hm?", None), index=0),
        attempt(turn("go"), index=1),
        attempt(turn("go", reward=1.0), reward=1.0, index=2),
        attempt(reward=None, status="failed", error="lost", index=3),
    ]
    counts = table(made, {"count": Count()})["count"]
    invalid, infrastructure_failure = counts["invalid_action"], counts["infrastructure_failure"]
    assert (invalid.count, invalid.of, invalid.share) == (1, 3, pytest.approx(1 / 3))
    assert invalid.keys == (made[0].key,)
    assert (infrastructure_failure.count, infrastructure_failure.of, infrastructure_failure.share) == (
        1,
        4,
        0.25,
    )
    assert (counts["refusal"].count, counts["refusal"].keys) == (0, ())


def test_the_table_of_lost_attempts_alone_has_no_shares():
    counts = table([attempt(reward=None, status="failed")], {})["count"]
    assert counts["invalid_action"].share is None and counts["infrastructure_failure"].share == 1.0
    assert table([], {}) == {}


def test_attempts_of_several_environments_are_counted_apart():
    first = attempt(turn("hm", None))
    other = replace(first, task=replace(first.task, env="general"))
    assert [*table([first, other], {})] == ["count", "general"]


def test_every_rule_is_in_the_documents_word_for_word():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    written = {name: (title.strip(), rule.strip()) for name, title, rule in rows}
    own = [each for name in ("database", "alfworld") for each in build(resolve(name)).error_types]
    for each in (*GENERAL, *(known for known in own if known.id not in {type_.id for type_ in GENERAL})):
        assert written[each.id] == (each.title, each.rule)
        assert each.ours
