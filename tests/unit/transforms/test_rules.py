"""Each rule on every kind of trajectory, and what stands in a chain's order."""

import asyncio
import re
from pathlib import Path

import pytest
from fakes import ScriptedPolicy, trajectory

from agentray.errors import UsageError
from agentray.transforms.base import TRANSFORMS, Transform, make
from agentray.transforms.context import Context
from agentray.types import Rejection, Reply, Turn

CONTEXT = Context("count", {})


def reason(rule, made):
    found = rule(made, CONTEXT)
    assert found is made or isinstance(found, Rejection)
    return None if found is made else found.reason


def test_min_reward_tells_unscored_from_low():
    rule = make("min_reward", {"threshold": 2 / 3})
    assert reason(rule, trajectory(reward=None)) == "unscored"
    assert reason(rule, trajectory(reward=0.6)) == "low_reward"
    assert reason(rule, trajectory(reward=0.67)) is None


def test_the_threshold_is_the_environments_own_unless_one_is_given():
    assert reason(make("min_reward"), trajectory(reward=0.9)) == "low_reward"
    assert reason(make("min_reward"), trajectory(reward=1.0)) is None


def test_a_threshold_that_is_given_needs_no_environment():
    rule, elsewhere = make("min_reward", {"threshold": 1}), Context("not_installed", {})
    made = trajectory()
    assert rule(made, elsewhere) is made
    with pytest.raises(UsageError, match="not_installed"):
        make("min_reward")(made, elsewhere)


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("completed", {}, None),
        ("completed", {"status": "truncated"}, "truncated"),
        ("completed", {"status": "failed", "reward": None}, "failed"),
        ("has_replies", {}, None),
        ("has_replies", {"turns": ()}, "no_turns"),
        ("has_replies", {"turns": (Turn(Reply(" \n"), None, ""),)}, "empty_reply"),
    ],
)
def test_a_rule_says_in_a_word_why(name, changes, expected):
    assert reason(make(name), trajectory(**changes)) == expected


def test_equal_replies_to_an_equal_task_are_kept_once():
    rule = make("distinct")
    assert reason(rule, trajectory(0)) is None
    assert reason(rule, trajectory(0, sample=1)) == "duplicate"
    assert reason(rule, trajectory(1)) is None
    other = trajectory(0, turns=(Turn(Reply("Action: 1\ud83d"), "1", ""),))
    assert reason(rule, other) is None


def test_a_task_quota_counts_by_task_not_by_its_name():
    rule = make("max_per_task", {"limit": 2})
    task = trajectory(0).task
    renamed = type(task)(task.env, "train/other", task.split, task.data, task.fingerprint)
    made = [trajectory(0), trajectory(task=renamed), trajectory(0, sample=2), trajectory(1)]
    assert [reason(rule, each) for each in made] == [None, None, "task_quota", None]


@pytest.mark.parametrize("name", TRANSFORMS.names())
def test_every_transform_is_made_without_settings_and_refuses_unknown_ones(name):
    assert make(name).settings == type(make(name)).Settings()
    with pytest.raises(UsageError, match=rf"unknown setting 'transform\.settings\.{name}\.colour'"):
        make(name, {"colour": "red"})


def test_the_examples_of_the_documentation_work():
    page = (Path(__file__).parents[3] / "docs" / "transforms.md").read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, names)
    short = names["Short"](names["Short"].Settings(most=1))
    assert reason(short, trajectory()) == "long"
    no = ScriptedPolicy("no", "yes")
    label, asked = names["Labelled"](Transform.Settings()), Context("count", {}, no)
    assert asyncio.run(label(trajectory(), asked)).reason == "badly_done"
    assert asyncio.run(label(trajectory(), asked)).metrics["well_done"] == 1.0
    assert "well done?" in no.seen[0][0].content


def test_an_unknown_transform_is_refused_with_the_closest():
    with pytest.raises(UsageError) as caught:
        make("min_rewards")
    assert "did you mean 'min_reward'" in caught.value.why


def test_a_wrong_setting_is_named_with_its_value():
    with pytest.raises(UsageError, match=r"setting 'transform\.settings\.max_per_task\.limit' is 0"):
        make("max_per_task", {"limit": 0})
