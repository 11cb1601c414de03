"""Reads ALFWorld's own games, so that the simulator plays them: its official files, or a list of games.

A game of ALFWorld is a folder with `traj_data.json` and `game.tw-pddl`; the latter holds the first state as a
PDDL problem. That problem is matched by patterns here, never executed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from agentray.env import fingerprint
from agentray.env.records import field, record, records
from agentray.errors import DataError
from agentray.types import Split, Task
from agentray_alfworld.goals import LOOK, TYPES, Goal

FOLDERS: Mapping[Split, str] = {"train": "train", "validation": "valid_seen", "test": "valid_unseen"}
"""Folder of each split in ALFWorld's download, `json_2.1.1`."""
_OBJECT = re.compile(r"(?<!\S)(\S+_bar_\S+)\s+-\s+(?:object|receptacle)\b")
_FACT = re.compile(r"\((receptacleAtLocation|inReceptacle|pickupable)\s+([^?\s)]+)(?:\s+([^\s)]+))?\s*\)")
_SENTENCE = re.compile(r"Your task is to: (.*?)\.\s*\"")
_KIND = "an ALFWorld game"
_FIX = "remove or repair it"

T = TypeVar("T")
_Game = dict[str, Any] | None
"""Data of a game's task; None where it is not played."""
_Trajectory = tuple[str, Goal | None]
"""Room and goal."""


def read_games(path: Path, split: Split) -> Iterator[Task]:
    """Games of a split as tasks, in the order of their names.

    Args:
        path: ALFWorld's folder `json_2.1.1`, or a `.jsonl` or `.jsonl.gz` file of games with the fields `id`,
            `goal`, `traj_data` and `initial_state_pddl`, all of which count as test games.
        split: Which games to read.

    Raises:
        DataError: There is no such file, or a game in it cannot be read; the message names its file and line.
    """
    if not path.exists():
        raise DataError(f"no games at {str(path)!r}", "the path does not exist", "point `data` at your games")
    for name, game in _games(path, split):
        if game is not None:
            yield Task("alfworld", f"{split}/{name}", split, game, fingerprint(game))


def world_data(problem: str) -> dict[str, Any]:
    """Receptacles, objects and fixtures of a PDDL problem, with the names that ALFWorld gives them.

    Raises:
        ValueError: It places something that it does not declare, or has no receptacles.
    """
    names = _names(_OBJECT.findall(problem))
    spots: dict[str, int] = {}
    receptacles, objects, loose = {}, {}, set()
    try:
        for fact, subject, place in _FACT.findall(problem):
            if fact == "receptacleAtLocation":
                receptacles[names[subject]] = spots.setdefault(place, len(spots))
            elif fact == "inReceptacle":
                objects[names[subject]] = names[place]
            else:
                loose.add(names[subject])
    except KeyError as error:
        raise ValueError(f"its PDDL problem places {error}, which is not among its objects") from error
    if not receptacles:
        raise ValueError("its PDDL problem has no receptacles")
    return {
        "receptacles": receptacles,
        "objects": objects,
        "fixtures": sorted(set(objects) - loose),
    }


def _names(ids: list[str]) -> dict[str, str]:
    """`mug 1` for each PDDL id; of one type the first id gets the highest number.

    Source: ALFWorld 0.4.2, agents/utils/misc.py, `Demangler` without shuffling.
    """
    kinds = {i: i.split("_bar_", 1)[0].lower() + ("basin" if "basin" in i.lower() else "") for i in ids}
    left = Counter(kinds.values())
    names = {}
    for identifier in sorted(ids, key=str.lower):
        kind = kinds[identifier]
        names[identifier] = f"{kind} {left[kind]}"
        left[kind] -= 1
    return names


def _games(path: Path, split: Split) -> Iterator[tuple[str, _Game]]:
    """Name and task data of each game."""
    if path.is_dir():
        yield from _from_folder(path / FOLDERS[split])
    elif split == "test":
        for _, named in records(path, _KIND, _FIX, _listed):
            yield named


def _from_folder(folder: Path) -> Iterator[tuple[str, _Game]]:
    for file in sorted(folder.rglob("game.tw-pddl")):
        trajectory = _document(file.parent / "traj_data.json", _described)
        game = partial(_written, trajectory=trajectory)
        yield file.parent.relative_to(folder).as_posix(), _document(file, game)


def _document(file: Path, read: Callable[[dict[str, Any]], T]) -> T:
    """What `read` makes of a file that holds one object."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise DataError(f"{str(file)!r} cannot be read", str(error), _FIX) from error
    return record(str(file), text, _KIND, _FIX, read)


def _listed(game: dict[str, Any]) -> tuple[str, _Game]:
    """Name and task data of a game in a list.

    Raises:
        ValueError: It is not a game.
    """
    name, sentence = field(game, "id", str), field(game, "goal", str)
    if not name or not sentence:
        raise ValueError("its `id` or `goal` is empty")
    trajectory = _described(field(game, "traj_data", dict))
    return name, _data(trajectory, sentence, field(game, "initial_state_pddl", str))


def _written(game: dict[str, Any], trajectory: _Trajectory) -> _Game:
    """Task data of a `game.tw-pddl`; None where it says no goal."""
    sentence = _SENTENCE.search(field(game, "grammar", str))
    problem = field(game, "pddl_problem", str)
    return _data(trajectory, sentence[1], problem) if sentence else None


def _described(trajectory: dict[str, Any]) -> _Trajectory:
    """What is used of a `traj_data.json`: its room, and its goal without a sentence.

    The goal is None where its type is not one of the six, or where it asks for a slice.

    Raises:
        ValueError: A field is missing, or of another type.
    """
    room, task_type = field(trajectory, "scene.floor_plan", str), field(trajectory, "task_type", str)
    sliced = field(trajectory, "pddl_params.object_sliced", bool)
    if task_type not in TYPES or sliced:
        return room, None
    target = "toggle_target" if task_type == LOOK else "parent_target"
    wanted = [field(trajectory, f"pddl_params.{each}", str).lower() for each in ("object_target", target)]
    return room, Goal(task_type, *wanted)


def _data(trajectory: _Trajectory, sentence: str, problem: str) -> _Game:
    room, goal = trajectory
    if goal is None:
        return None
    return {"room": room, **world_data(problem), "goal": replace(goal, sentence=sentence).to_json()}
