"""Games that users bring: a list of them, or ALFWorld's folder."""

import gzip
import json

import pytest

from agentray.errors import DataError
from agentray_alfworld.games import read_games

PROBLEM = """(:objects
Mug_bar_1 - object
Shelf_bar_1 - receptacle
)
(inReceptacle Mug_bar_1 Shelf_bar_1) (pickupable Mug_bar_1) (receptacleAtLocation Shelf_bar_1 loc_1)"""
PARAMS = {"object_target": "Mug", "parent_target": "Shelf", "toggle_target": "", "object_sliced": False}
TRAJECTORY = {
    "task_type": "pick_and_place_simple",
    "pddl_params": PARAMS,
    "scene": {"floor_plan": "FloorPlan1"},
}
GAME = {"id": "a", "goal": "put a mug in shelf", "traj_data": TRAJECTORY, "initial_state_pddl": PROBLEM}


def without(field):
    return {name: value for name, value in GAME.items() if name != field}


def trajectory(**fields):
    return GAME | {"traj_data": TRAJECTORY | fields}


def test_a_list_may_have_a_byte_order_mark_and_blank_lines(tmp_path):
    text = "\r\n".join(["\ufeff" + json.dumps(GAME), "", "  ", json.dumps(GAME | {"id": "b"}), ""])
    (tmp_path / "games.jsonl").write_text(text, encoding="utf-8", newline="")
    (tmp_path / "games.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("games.jsonl", "games.jsonl.gz"):
        assert [each.id for each in read_games(tmp_path / name, "test")] == ["test/a", "test/b"]
        assert list(read_games(tmp_path / name, "train")) == []


@pytest.mark.parametrize(
    ("game", "why"),
    [
        ([], "not an object"),
        (without("id"), "no `id`"),
        (GAME | {"id": 5}, "`id` is 5, not text"),
        (GAME | {"id": None}, "`id` is None, not text"),
        (GAME | {"id": ""}, "empty"),
        (GAME | {"goal": ["put a mug in shelf"]}, "`goal` is"),
        (GAME | {"initial_state_pddl": [PROBLEM]}, "`initial_state_pddl` is"),
        (GAME | {"initial_state_pddl": "(:objects)"}, "no receptacles"),
        (GAME | {"initial_state_pddl": "(inReceptacle Mug_bar_1 Shelf_bar_1)"}, "not among its objects"),
        (GAME | {"traj_data": "a"}, "`traj_data` is 'a', not an object"),
        (trajectory(scene="FloorPlan1"), "no `scene.floor_plan`"),
        (trajectory(scene={"floor_plan": 1}), "`scene.floor_plan` is 1"),
        (trajectory(task_type=["pick_and_place_simple"]), "`task_type` is"),
        (trajectory(pddl_params=[]), "no `pddl_params.object_sliced`"),
        (trajectory(pddl_params=PARAMS | {"object_sliced": "False"}), "not true or false"),
        (trajectory(pddl_params=PARAMS | {"object_target": None}), "`pddl_params.object_target` is None"),
        (trajectory(pddl_params=PARAMS | {"parent_target": ["Shelf"]}), "`pddl_params.parent_target` is"),
        (GAME | {"goal": "put a mug \ud83d"}, "surrogate pair"),
        (GAME | {"goal": "put a mug\0"}, "NUL"),
    ],
)
def test_a_line_that_is_no_game_is_named(tmp_path, game, why):
    path = tmp_path / "games.jsonl"
    path.write_text(f"{json.dumps(GAME)}\n\n{json.dumps(game)}\n")
    games = read_games(path, "test")
    assert next(games).id == "test/a"
    with pytest.raises(DataError, match=r"games\.jsonl:3 is not an ALFWorld game") as caught:
        next(games)
    assert why in caught.value.why


@pytest.mark.parametrize(
    ("name", "document", "why"),
    [
        ("traj_data.json", [], "not an object"),
        ("traj_data.json", TRAJECTORY | {"task_type": 5}, "`task_type` is 5"),
        ("game.tw-pddl", {"pddl_problem": PROBLEM}, "no `grammar`"),
        ("game.tw-pddl", {"grammar": 5, "pddl_problem": PROBLEM}, "`grammar` is 5"),
        ("game.tw-pddl", {"grammar": "", "pddl_problem": [PROBLEM]}, "`pddl_problem` is"),
    ],
)
def test_a_file_that_is_no_game_is_named(tmp_path, name, document, why):
    folder = tmp_path / "valid_unseen" / "trial"
    folder.mkdir(parents=True)
    grammar = '"Your task is to: put a mug in shelf."'
    (folder / "traj_data.json").write_text(json.dumps(TRAJECTORY))
    (folder / "game.tw-pddl").write_text(json.dumps({"grammar": grammar, "pddl_problem": PROBLEM}))
    assert [each.id for each in read_games(tmp_path, "test")] == ["test/trial"]
    (folder / name).write_text(json.dumps(document))
    with pytest.raises(DataError, match=f"{name} is not an ALFWorld game") as caught:
        next(read_games(tmp_path, "test"))
    assert why in caught.value.why
