"""A scripted agent that wins by what it has read, by a rule that a small model can imitate.

It searches the receptacles where an object is likely to be, in the order in which the room lists them, then
the others. Its first thought writes that list down; each later thought names the next step, so every action
can be copied from text nearby.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentray.types import Message
from agentray_alfworld.goals import LOOK, TREATMENTS, TWO, Goal
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
    if memory.held is None:
        return _fetch(goal, memory)
    if kind_of(memory.held) != goal.object:
        return f"I need a {goal.object}.", f"move {memory.held} to {memory.at}"
    if goal.type == LOOK:
        return _light(goal, memory, memory.held)
    if goal.type in TREATMENTS and memory.held not in memory.treated:
        return _treat(goal, memory, memory.held)
    return _place(goal, memory, memory.held)


def _fetch(goal: Goal, memory: Memory) -> Step:
    """Take an object of the wanted type, or look for one."""
    target = f"{goal.receptacle} 1"
    known = [(o, r) for o, r in memory.where(goal.object) if r != target or goal.type in TREATMENTS]
    lead = f"One {goal.object} is in {target}." if memory.last == "move" and goal.type == TWO else ""
    if known:
        thing, place = known[0]
        if place == memory.at:
            return f"I see {thing}.", f"take {thing} from {place}"
        return f"{lead} Now get {thing} from {place}.".strip(), f"go to {place}"
    if goal.type == LOOK and any(place == memory.at for _, place in memory.where(goal.receptacle)):
        lead = f"No {goal.object} here, but a {goal.receptacle}."
    return _search(memory, goal.object, goal.receptacle, lead)


def _search(memory: Memory, what: str, avoid: str, lead: str) -> Step:
    """Look for an object: open what is closed, else go to the next place of the list."""
    if memory.at and memory.closed and memory.at not in memory.seen:
        return "It is closed.", f"open {memory.at}"
    likely, others = _places(memory, what, avoid)
    if not (likely or others):
        return f"I cannot find a {what}.", "look"
    lead = lead or (f"No {what} here." if memory.at else "")
    places, phrase = (likely, "may be") if likely else (others, "may also be")
    if f"{what} {phrase} in" not in memory.thoughts:
        return f"{lead} A {what} {phrase} in {', '.join(places)}.".strip(), f"go to {places[0]}"
    return f"{lead} Next is {places[0]}.", f"go to {places[0]}"


def _places(memory: Memory, what: str, avoid: str) -> tuple[list[str], list[str]]:
    """Receptacles not looked into yet that are likely to hold `what`, and the others that can."""
    left = [name for name in memory.room if name not in memory.seen]
    likely = [name for name in left if kind_of(name) in LIKELY.get(what, ()) and kind_of(name) != avoid]
    if what in AFFORDANCES["use"]:
        others = [name for name in left if kind_of(name) not in OPENABLE]
    else:
        others = [name for name in left if what in HOLDS.get(kind_of(name), ())]
    return likely, [name for name in others if name not in likely]


def _light(goal: Goal, memory: Memory, held: str) -> Step:
    lamps = memory.where(goal.receptacle)
    if not lamps:
        lead = f"I have {held}." if memory.last == "take" else ""
        return _search(memory, goal.receptacle, "", lead)
    lamp, place = lamps[0]
    if place == memory.at:
        return f"The {lamp} is here.", f"use {lamp}"
    return f"I have {held}. The {lamp} is on {place}.", f"go to {place}"


def _treat(goal: Goal, memory: Memory, held: str) -> Step:
    verb, kind = TREATMENTS[goal.type]
    station = f"{kind} 1"
    if memory.at == station:
        return f"I can {verb} {held} here.", f"{verb} {held} with {station}"
    return f"I have {held}. Now {verb} it with {station}.", f"go to {station}"


def _place(goal: Goal, memory: Memory, held: str) -> Step:
    target = f"{goal.receptacle} 1"
    if memory.at != target:
        state = f"The {held} is {_DONE[goal.type]}." if goal.type in TREATMENTS else f"I have {held}."
        return f"{state} Now put it in {target}.", f"go to {target}"
    if memory.closed:
        return "It is closed.", f"open {target}"
    return f"I can put {held} here.", f"move {held} to {target}"
