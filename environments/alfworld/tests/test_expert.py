"""What makes the expert easy to imitate: its words can be copied from text nearby."""

import itertools
import re

import pytest

from agentray.types import Message
from agentray_alfworld import Alfworld
from agentray_alfworld.expert import decide
from agentray_alfworld.goals import Goal
from agentray_alfworld.memory import Memory

PLACE = re.compile(r"THOUGHT: A ([a-z]+) may be in ([a-z]+ \d+)\.\nACTION: go to (.*)")
FOUND = re.compile(r"THOUGHT: A ([a-z]+ \d+) is here\.\nACTION: (?:take|use) ([a-z]+ \d+)")


def conversations(split, count=200):
    environment = Alfworld(max_turns=20)
    for task in itertools.islice(environment.tasks(split), count):
        expert, env = environment.expert(task), environment.make()
        observation, _ = env.reset(options={"task": task})
        messages = [*environment.instruction(task), Message("user", observation)]
        ended = False
        while not ended:
            messages.append(Message("assistant", expert(messages)))
            observation, reward, *ends, _ = env.step(messages[-1].content)
            messages.append(Message("user", observation))
            ended = any(ends)
        yield task, [message.content for message in messages[2:]], reward


@pytest.mark.parametrize("split", ["train", "test"])
def test_twenty_turns_are_enough(split):
    assert all(reward == 1 for _, _, reward in conversations(split))


def test_a_search_follows_the_rooms_list_and_says_where_it_goes():
    followed = 0
    for task, texts, _ in conversations("train"):
        if task.data["goal"]["type"] in ("look_at_obj_in_light", "pick_two_obj_and_place"):
            continue  # these go back to what they have seen
        room = list(task.data["receptacles"])
        searched = [match for text in texts if (match := PLACE.fullmatch(text))]
        assert all(match[2] == match[3] for match in searched)
        target = f"{task.data['goal']['receptacle']} "
        visited = [room.index(match[3]) for match in searched if not match[3].startswith(target)]
        assert visited == sorted(set(visited))
        followed += len(visited)
    assert followed > 300


def test_what_is_found_is_named_in_an_observation_before():
    found = 0
    for _, texts, _ in conversations("train"):
        for index, text in enumerate(texts):
            if match := FOUND.match(text):
                found += 1
                assert match[1] == match[2]
                assert any(f"a {match[1]}" in earlier for earlier in texts[:index])
    assert found > 200


def test_an_object_that_another_policy_treated_needlessly_is_put_in_its_place():
    memory = Memory(held="mug 1", treated={"mug 1"})
    assert decide(Goal("pick_and_place_simple", "mug", "shelf"), memory)[1] == "go to shelf 1"
