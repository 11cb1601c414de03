"""Reads ALFWorld's own games, so that the simulator plays them: its official files, or a list of games.

A game of ALFWorld is a folder with `traj_data.json` and `game.tw-pddl`; the latter holds the first state as a
PDDL problem. That problem is matched by patterns here, never executed.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentray.env import fingerprint
from agentray.errors import DataError
from agentray.types import Split, Task
from agentray_alfworld.goals import LOOK, TYPES, Goal

FOLDERS: Mapping[Split, str] = {"train": "train", "validation": "valid_seen", "test": "valid_unseen"}
"""Folder of each split in ALFWorld's download, `json_2.1.1`."""
_OBJECT = re.compile(r"(?<!\S)(\S+_bar_\S+)\s+-\s+(?:object|receptacle)\b")
_FACT = re.compile(r"\((receptacleAtLocation|inReceptacle|pickupable)\s+([^?\s)]+)(?:\s+([^\s)]+))?\s*\)")
_UNREADABLE = (KeyError, TypeError, AttributeError, ValueError, OSError, EOFError, zlib.error)
_SENTENCE = re.compile(r"Your task is to: (.*?)\.\s*\"")


def read_games(path: Path, split: Split) -> Iterator[Task]:
    """Games of a split as tasks, in the order of their names.

    Args:
        path: ALFWorld's folder `json_2.1.1`, or a `.jsonl` or `.jsonl.gz` file of games with the fields `id`,
            `goal`, `traj_data` and `initial_state_pddl`, all of which count as test games.
        split: Which games to read.

    Raises:
        DataError: There is no such file, or a game in it cannot be read.
    """
    if not path.exists():
        raise DataError(f"no games at {str(path)!r}", "the path does not exist", "point `data` at your games")
    try:
        yield from _tasks(path, split)
    except _UNREADABLE as error:
        raise DataError(
            f"a game in {str(path)!r} cannot be read",
            f"{type(error).__name__}: {error}",
            "remove or repair it",
        ) from error


def _tasks(path: Path, split: Split) -> Iterator[Task]:
    for name, sentence, trajectory, problem in _games(path, split):
        goal = _goal(trajectory, sentence)
        if goal is not None:
            room = trajectory["scene"]["floor_plan"]
            data = {"room": room, **world_data(problem), "goal": goal.to_json()}
            yield Task("alfworld", f"{split}/{name}", split, data, fingerprint(data))


def world_data(problem: str) -> dict[str, Any]:
    """Receptacles, objects and fixtures of a PDDL problem, with the names that ALFWorld gives them."""
    names = _names(_OBJECT.findall(problem))
    spots: dict[str, int] = {}
    receptacles, objects, loose = {}, {}, set()
    for fact, subject, place in _FACT.findall(problem):
        if fact == "receptacleAtLocation":
            receptacles[names[subject]] = spots.setdefault(place, len(spots))
        elif fact == "inReceptacle":
            objects[names[subject]] = names[place]
        else:
            loose.add(names[subject])
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


def _goal(trajectory: Mapping[str, Any], sentence: str) -> Goal | None:
    """The goal of a game; None when it is none of the six types or asks for a slice."""
    params = trajectory["pddl_params"]
    if trajectory["task_type"] not in TYPES or params["object_sliced"]:
        return None
    target = params["toggle_target" if trajectory["task_type"] == LOOK else "parent_target"]
    return Goal(trajectory["task_type"], params["object_target"].lower(), target.lower(), sentence)


_Game = tuple[str, str, Mapping[str, Any], str]
"""Name, goal sentence, content of traj_data.json, PDDL problem."""


def _games(path: Path, split: Split) -> Iterator[_Game]:
    if path.is_dir():
        return _from_folder(path / FOLDERS[split])
    return _from_list(path) if split == "test" else iter(())


def _from_folder(folder: Path) -> Iterator[_Game]:
    for file in sorted(folder.rglob("game.tw-pddl")):
        game = json.loads(file.read_text(encoding="utf-8"))
        trajectory = json.loads((file.parent / "traj_data.json").read_text(encoding="utf-8"))
        sentence = _SENTENCE.search(game["grammar"])
        if sentence:
            name = file.parent.relative_to(folder).as_posix()
            yield name, sentence[1], trajectory, game["pddl_problem"]


def _from_list(path: Path) -> Iterator[_Game]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            game = json.loads(line)
            yield game["id"], game["goal"], game["traj_data"], game["initial_state_pddl"]
