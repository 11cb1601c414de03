"""The simulator against recorded games of ALFWorld's own engine, and its rules on a small household."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from agentray_alfworld.games import read_games
from agentray_alfworld.goals import Goal
from agentray_alfworld.world import NOTHING, World

DATA = Path(os.environ.get("AGENTRAY_TEST_DATA") or Path(__file__).parents[3] / "../shared/data")
GAMES = DATA / "alfworld" / "generated_games.jsonl.gz"
needs_games = pytest.mark.skipif(not GAMES.exists(), reason=f"AGENTRAY_TEST_DATA lacks {GAMES}")

KITCHEN: dict[str, Any] = {
    "receptacles": {
        "countertop 1": 0,
        "drawer 1": 1,
        "fridge 1": 2,
        "microwave 1": 3,
        "sinkbasin 1": 4,
        "desk 1": 5,
    },
    "objects": {"mug 1": "countertop 1", "mug 2": "fridge 1", "desklamp 1": "desk 1", "fork 1": "drawer 1"},
    "fixtures": ["desklamp 1"],
}


def say(world: World, *commands: str) -> str:
    """Carry out commands and return the last answer."""
    answer = ""
    for command in commands:
        act = world.commands().get(command)
        answer = act() if act else NOTHING
    return answer


@needs_games
def test_sixty_real_games_replay_word_for_word():
    with gzip.open(GAMES, "rt") as lines:
        games = [json.loads(line) for line in lines]
    tasks = list(read_games(GAMES, "test"))
    assert len(tasks) == len(games) == 60
    for game, task in zip(games, tasks, strict=True):
        world, goal = World(task.data), Goal.from_data(task.data)
        assert game["intro"].endswith(f"{world.look()}\n\nYour task is to: {goal.sentence}.")
        for step in game["walkthrough"]:
            # The engine also offers `help`.
            assert len(world.commands()) == step["n_admissible"] - 1, task.id
            assert say(world, step["action"]) == step["observation"]
        assert world.satisfies(goal)


def test_the_official_folder_layout_is_read(tmp_path):
    folder = tmp_path / "valid_unseen" / "pick_and_place_simple-Mug-None-Shelf-1" / "trial_T1"
    folder.mkdir(parents=True)
    problem = """(:objects
    Mug_bar_1 - object
    Shelf_bar_1 - receptacle
    Sink_bar_2_bar_SinkBasin - receptacle
    )
    (inReceptacle Mug_bar_1 Sink_bar_2_bar_SinkBasin) (pickupable Mug_bar_1)
    (receptacleAtLocation Shelf_bar_1 loc_1) (receptacleAtLocation Sink_bar_2_bar_SinkBasin loc_2)"""
    params = {"object_target": "Mug", "parent_target": "Shelf", "toggle_target": "", "object_sliced": False}
    trajectory = {"task_type": "pick_and_place_simple", "pddl_params": params, "scene": {"floor_plan": "F1"}}
    grammar = '{"rhs": "Your task is to: put a mug in shelf."}'
    (folder / "traj_data.json").write_text(json.dumps(trajectory))
    (folder / "game.tw-pddl").write_text(json.dumps({"grammar": grammar, "pddl_problem": problem}))
    assert list(read_games(tmp_path, "train")) == []
    (task,) = read_games(tmp_path, "test")
    assert task.data["objects"] == {"mug 1": "sinkbasin 1"}
    assert task.data["goal"]["sentence"] == "put a mug in shelf"
    assert World(task.data).look().endswith("you see a shelf 1, and a sinkbasin 1.")


@pytest.mark.parametrize(
    ("goal_type", "target", "short", "full"),
    [
        ("pick_clean_then_place_in_recep", "desk", [], ["go to sinkbasin 1", "clean mug 1 with sinkbasin 1"]),
        ("pick_heat_then_place_in_recep", "desk", [], ["go to microwave 1", "heat mug 1 with microwave 1"]),
        ("pick_cool_then_place_in_recep", "desk", [], ["go to fridge 1", "cool mug 1 with fridge 1"]),
    ],
)
def test_an_object_wins_only_after_its_treatment(goal_type, target, short, full):
    goal = Goal(goal_type, "mug", target)
    for middle, wins in ((short, False), (full, True)):
        world = World(KITCHEN)
        say(world, "go to countertop 1", "take mug 1 from countertop 1", *middle)
        say(world, "go to desk 1", "move mug 1 to desk 1")
        assert world.satisfies(goal) is wins


def test_cooling_undoes_heating():
    world = World(KITCHEN)
    say(world, "go to countertop 1", "take mug 1 from countertop 1")
    say(
        world,
        "go to microwave 1",
        "heat mug 1 with microwave 1",
        "go to fridge 1",
        "cool mug 1 with fridge 1",
    )
    assert say(world, "examine mug 1") == "This is a cold mug 1."


def test_one_of_two_objects_is_not_enough_and_both_must_share_a_receptacle():
    world, goal = World(KITCHEN), Goal("pick_two_obj_and_place", "mug", "desk")
    say(world, "go to countertop 1", "take mug 1 from countertop 1", "go to desk 1", "move mug 1 to desk 1")
    assert not world.satisfies(goal)
    say(world, "go to fridge 1", "open fridge 1", "take mug 2 from fridge 1")
    say(world, "go to desk 1", "move mug 2 to desk 1")
    assert world.satisfies(goal)


def test_looking_in_light_needs_the_lamp_on_and_the_object_in_hand_beside_it():
    world, goal = World(KITCHEN), Goal("look_at_obj_in_light", "mug", "desklamp")
    assert say(world, "go to desk 1", "use desklamp 1") == "You turn on the desklamp 1."
    assert not world.satisfies(goal)
    say(world, "go to countertop 1", "take mug 1 from countertop 1")
    assert not world.satisfies(goal)
    say(world, "go to desk 1")
    assert world.satisfies(goal)


def test_closed_receptacles_hide_their_content_and_take_nothing():
    world = World(KITCHEN)
    assert say(world, "go to drawer 1") == "You arrive at drawer 1. The drawer 1 is closed."
    assert say(world, "take fork 1 from drawer 1") == NOTHING
    assert (
        say(world, "open drawer 1") == "You open the drawer 1. The drawer 1 is open. In it, you see a fork 1."
    )
    assert say(world, "close drawer 1") == "You close the drawer 1."


def test_a_receptacle_refuses_what_it_cannot_hold_and_lamps_stay_where_they_are():
    world = World(KITCHEN)
    say(world, "go to countertop 1", "take mug 1 from countertop 1", "go to drawer 1", "open drawer 1")
    assert say(world, "move mug 1 to drawer 1") == NOTHING
    assert say(World(KITCHEN), "go to desk 1", "take desklamp 1 from desk 1") == NOTHING
