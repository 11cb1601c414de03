"""A scripted agent that wins by what it has read, by a rule that a small model can imitate.

It looks into the receptacles that can hold an object in the order in which the room lists them, so the next
one follows the last one in that list. A thought names the object before it says whether one is here, and then
the next step: so every word can be copied from text nearby.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentray.types import Message
from agentray_alfworld.goals import LOOK, TREATMENTS, Goal
from agentray_alfworld.memory import Memory, recall
from agentray_alfworld.tables import AFFORDANCES, HOLDS, LIKELY, OPENABLE, kind_of

Step = tuple[str, str]
"""A thought and the action that follows from it."""


_DONE = {
    "pick_clean_then_place_in_recep": "clean",
    "pick_heat_then_place_in_recep": "hot",
    "pick_cool_then_place_in_recep": "cool",
}


@dataclass(frozen=True, slots=True)
class HouseholdExpert:
    """Policy for one goal: from the conversation so far to the next reply."""

    goal: Goal

    def __call__(self, messages: Sequence[Message]) -> str:
        """The next thought and action."""
        thought, action = decide(self.goal, recall(messages))
        return f"THOUGHT: {thought}\nACTION: {action}"


def decide(goal: Goal, memory: Memory) -> Step:
    """The next step towards a goal."""
    held = memory.held
    if held is None:
        return _fetch(goal, memory)
    if kind_of(held) != goal.object:
        return f"I need a {goal.object}.", f"move {held} to {memory.at}"
    if goal.type == LOOK:
        return _light(goal, memory)
    if goal.type in TREATMENTS and held not in memory.treated:
        return _treat(goal, memory, held)
    return _place(goal, memory, held)


def _fetch(goal: Goal, memory: Memory) -> Step:
    """Take an object of the wanted type, or look for one."""
    target = f"{goal.receptacle} 1"
    known = [(o, r) for o, r in memory.where(goal.object) if r != target or goal.type in TREATMENTS]
    if known and known[0][1] == memory.at:
        thing = known[0][0]
        return f"A {thing} is here.", f"take {thing} from {memory.at}"
    return _search(memory, goal.object, goal.receptacle, [place for _, place in known])


def _light(goal: Goal, memory: Memory) -> Step:
    """Switch the lamp on, or look for one."""
    lamps = memory.where(goal.receptacle)
    if lamps and lamps[0][1] == memory.at:
        return f"A {lamps[0][0]} is here.", f"use {lamps[0][0]}"
    thought, action = _search(memory, goal.receptacle, "", [place for _, place in lamps])
    return f"{_lead(memory)}{thought}", action


def _search(memory: Memory, what: str, avoid: str, known: Sequence[str]) -> Step:
    """Look for an object: open what is closed, else go to the next of the places that are left."""
    if memory.at and memory.closed and memory.at not in memory.seen:
        return "It is closed.", f"open {memory.at}"
    place = next(iter([*known, *_places(memory, what, avoid)]), None)
    if place is None:
        return f"I cannot find a {what}.", "look"
    return f"A {what} may be in {place}.", f"go to {place}"


def _places(memory: Memory, what: str, avoid: str) -> list[str]:
    """Receptacles not seen yet that can hold `what`, in the room's order; the least likely last."""
    left = [name for name in memory.room if name not in memory.seen]
    if what in AFFORDANCES["use"]:
        on_top = [name for name in left if kind_of(name) not in OPENABLE]
        return sorted(on_top, key=lambda name: kind_of(name) not in LIKELY[what])
    able = [name for name in left if what in HOLDS.get(kind_of(name), ())]
    return sorted(able, key=lambda name: kind_of(name) == avoid)


def _treat(goal: Goal, memory: Memory, held: str) -> Step:
    """Clean, heat or cool what is held."""
    verb, kind = TREATMENTS[goal.type]
    station = f"{kind} 1"
    if memory.at == station:
        return f"I can {verb} {held} here.", f"{verb} {held} with {station}"
    return f"{_lead(memory)}Now {verb} it with {station}.", f"go to {station}"


def _place(goal: Goal, memory: Memory, held: str) -> Step:
    """Put what is held where it must go."""
    target = f"{goal.receptacle} 1"
    if memory.at != target:
        done = _DONE.get(goal.type) if held in memory.treated else None  # another policy may treat any object
        lead = f"The {held} is {done}. " if done else _lead(memory)
        return f"{lead}Now put it in {target}.", f"go to {target}"
    if memory.closed:
        return "It is closed.", f"open {target}"
    return f"I can put {held} here.", f"move {held} to {target}"


def _lead(memory: Memory) -> str:
    """What was just taken: the first words after taking are never those of a search."""
    return f"I have {memory.held}. " if memory.last == "take" else ""
