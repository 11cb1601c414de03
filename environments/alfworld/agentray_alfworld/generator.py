"""Makes households: a room furnished around a goal, from a seed, so that every task is solvable."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from agentray.env import fingerprint
from agentray.types import Split, Task
from agentray_alfworld.goals import LOOK, SENTENCES, TREATMENTS, TYPES, Goal, goals, rooms_for
from agentray_alfworld.tables import HOLDS, LIKELY, ROOMS, kind_of

_LIKELY_SHARE = 0.93
"""Chance that a thing is where its kind is usually kept."""
_SPARE_CHANCE = 0.25
"""Chance that one more object of the wanted type is in the room."""


def generate(split: Split, index: int) -> Task:
    """Task `index` of a split; the task types take turns.

    Source of the types and their conditions: ALFWorld 0.4.2, gen/goal_library.py.
    """
    rng = random.Random(f"alfworld/{split}/{index}")
    goal = rng.choice(goals(split)[TYPES[index % len(TYPES)]])
    sentence = rng.choice(SENTENCES[goal.type]).format(object=goal.object, receptacle=goal.receptacle)
    data = furnish(replace(goal, sentence=sentence), rng)
    return Task("alfworld", f"{split}/{index}", split, data, fingerprint(data))


def furnish(goal: Goal, rng: random.Random) -> dict[str, Any]:
    """A room in which `goal` can be reached and does not hold yet, as a task's data."""
    room = rng.choice(rooms_for(goal))
    receptacles = _receptacles(goal, room, rng)
    home = _Home(goal, receptacles, rng)
    wanted = goal.count + (rng.random() < _SPARE_CHANCE)
    home.add(goal.object, wanted)
    if goal.type == LOOK:
        home.add("desklamp", 1)
    others = [thing for thing in ROOMS[room].objects if thing != goal.object]
    for thing in sorted(rng.sample(others, min(len(others), len(receptacles) - 2))):
        home.add(thing, 1 + (rng.random() < _SPARE_CHANCE))
    return {
        "room": room,
        "receptacles": {name: spot for spot, name in enumerate(receptacles)},
        "objects": home.objects,
        "fixtures": [name for name in home.objects if kind_of(name) == "desklamp"],
        "goal": goal.to_json(),
    }


def _receptacles(goal: Goal, room: str, rng: random.Random) -> list[str]:
    """Numbered receptacles of a room: the usual ones, one more, and what the goal needs."""
    layout = ROOMS[room]
    counts = Counter({kind: rng.randint(low, high) for kind, (low, high) in layout.always.items()})
    counts[rng.choice(layout.sometimes)] = 1
    needed = [goal.receptacle, rng.choice(sorted(_homes(goal, goal.object) & set(layout.kinds)))]
    if goal.type == LOOK:
        needed[0] = rng.choice(sorted(LIKELY["desklamp"] & set(layout.kinds)))
    for kind in needed:
        counts[kind] = max(counts[kind], 1)
    return [f"{kind} {number}" for kind in sorted(counts) for number in range(counts[kind], 0, -1)]


def _homes(goal: Goal, thing: str) -> set[str]:
    """Receptacle types where `thing` may start: never one that would already fulfil the goal."""
    station = TREATMENTS.get(goal.type, ("", ""))[1]
    return set(LIKELY[thing]) - ({goal.receptacle, station} if thing == goal.object else set())


@dataclass
class _Home:
    """Objects being put into a room's receptacles."""

    goal: Goal
    receptacles: list[str]
    rng: random.Random
    objects: dict[str, str] = field(default_factory=dict)

    def add(self, thing: str, count: int) -> None:
        """Place `count` objects of a type, mostly where they are usually kept."""
        likely = self._of(_homes(self.goal, thing))
        can_hold = {kind for kind, held in HOLDS.items() if thing in held}
        barred = {self.goal.receptacle} if thing == self.goal.object else set()
        anywhere = self._of(can_hold - barred) or likely
        for number in range(1, count + 1):
            usual = likely and (not anywhere or self.rng.random() < _LIKELY_SHARE)
            places = likely if usual else anywhere
            if places:
                self.objects[f"{thing} {number}"] = self.rng.choice(places)

    def _of(self, kinds: Iterable[str]) -> list[str]:
        wanted = set(kinds)
        return [name for name in self.receptacles if kind_of(name) in wanted]
