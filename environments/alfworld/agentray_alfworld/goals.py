"""What a task asks for: the six task types, their sentences, and which goals belong to which split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from agentray.types import Split
from agentray_alfworld.tables import AFFORDANCES, HOLDS, LIKELY, ROOMS

SENTENCES: Mapping[str, tuple[str, ...]] = {
    "pick_and_place_simple": (
        "put a {object} in {receptacle}",
        "put some {object} on {receptacle}",
        "find some {object} and put it in {receptacle}",
    ),
    "look_at_obj_in_light": (
        "look at {object} under the {receptacle}",
        "examine the {object} with the {receptacle}",
    ),
    "pick_clean_then_place_in_recep": (
        "put a clean {object} in {receptacle}",
        "clean some {object} and put it in {receptacle}",
    ),
    "pick_heat_then_place_in_recep": (
        "put a hot {object} in {receptacle}",
        "heat some {object} and put it in {receptacle}",
    ),
    "pick_cool_then_place_in_recep": (
        "put a cool {object} in {receptacle}",
        "cool some {object} and put it in {receptacle}",
    ),
    "pick_two_obj_and_place": (
        "put two {object} in {receptacle}",
        "find two {object} and put them in {receptacle}",
    ),
}
"""Goal sentences by task type, in the words of ALFWorld's goal library (and one of AgentBench's)."""
TYPES = tuple(SENTENCES)
TREATMENTS: Mapping[str, tuple[str, str]] = {
    "pick_clean_then_place_in_recep": ("clean", "sinkbasin"),
    "pick_heat_then_place_in_recep": ("heat", "microwave"),
    "pick_cool_then_place_in_recep": ("cool", "fridge"),
}
"""The verb a task type asks for and the receptacle type where it is done."""
LOOK = "look_at_obj_in_light"
TWO = "pick_two_obj_and_place"
_TEST_SHARE, _VALIDATION_SHARE = 0.2, 0.1


@dataclass(frozen=True, slots=True, order=True)
class Goal:
    """What the world must look like at the end."""

    type: str
    """One of `TYPES`."""
    object: str
    """Type of the object, e.g. `mug`."""
    receptacle: str
    """Type of the receptacle it must end in; of the lamp when `type` is `LOOK`."""
    sentence: str = ""
    """The goal as the task line says it, without the full stop."""

    @property
    def count(self) -> int:
        """How many objects must be placed."""
        return 2 if self.type == TWO else 1

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Goal:
        """The goal stored in a task's data."""
        return cls(**data["goal"])

    def to_json(self) -> dict[str, str]:
        """Plain JSON for a task's data."""
        return asdict(self)


def rooms_for(goal: Goal) -> list[str]:
    """Rooms in which a goal makes sense: the object lives there, somewhere other than where it must go."""
    station = TREATMENTS.get(goal.type, ("", ""))[1]
    fit = []
    for name, room in ROOMS.items():
        homes = set(room.kinds) & LIKELY[goal.object] - {goal.receptacle, station}
        target_is_here = goal.type == LOOK or goal.receptacle in room.kinds
        station_is_here = not station or station in room.always
        lit = goal.type != LOOK or name in ("bedroom", "livingroom")
        if goal.object in room.objects and homes and target_is_here and station_is_here and lit:
            fit.append(name)
    return fit


@cache
def goals(split: Split) -> Mapping[str, tuple[Goal, ...]]:
    """Goals of a split by task type, without sentences.

    Within a type the goals are ordered by the hash of their names; the first fifth is for test, the next
    tenth for validation, the rest for train. So no test goal is ever trained on, whatever the seeds.
    """
    parts: dict[str, tuple[Goal, ...]] = {}
    for task_type in TYPES:
        ordered = sorted(_possible(task_type), key=_digest)
        first = round(len(ordered) * _TEST_SHARE)
        second = first + round(len(ordered) * _VALIDATION_SHARE)
        cut = {"test": ordered[:first], "validation": ordered[first:second], "train": ordered[second:]}
        parts[task_type] = tuple(sorted(cut[split]))
    return parts


def _possible(task_type: str) -> list[Goal]:
    verb, station = TREATMENTS.get(task_type, ("", ""))
    objects = AFFORDANCES[verb] & LIKELY.keys() if verb else LIKELY.keys() - AFFORDANCES["use"]
    targets = ("desklamp",) if task_type == LOOK else tuple(HOLDS)
    candidates = [Goal(task_type, thing, target) for thing in objects for target in targets]
    return [
        goal
        for goal in candidates
        if goal.receptacle != station
        and (task_type == LOOK or goal.object in HOLDS[goal.receptacle])
        and rooms_for(goal)
    ]


def _digest(goal: Goal) -> str:
    return hashlib.sha256(f"{goal.type}/{goal.object}/{goal.receptacle}".encode()).hexdigest()
