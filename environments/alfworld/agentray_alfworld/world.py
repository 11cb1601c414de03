"""The household while an episode runs: where things are, what can be done now, and what each command answers.

The rules and every sentence are those of ALFWorld 0.4.2 (alfred.pddl and alfred.twl2, MIT); tests/ replays
games of the real engine against them. Left out are slicing and `help`, which no task type needs. `look`
differs in two cases: in the middle of the room it still lists the receptacles when asked (the engine:
"nothing"), and before receptacles that share a spot it does not list what lies in the other one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from agentray_alfworld.goals import LOOK, TREATMENTS, Goal
from agentray_alfworld.tables import AFFORDANCES, HOLDS, OPENABLE, kind_of, listed

NOTHING = "Nothing happens."
Commands = dict[str, Callable[[], str]]


def enumerate_things(names: Iterable[str]) -> str:
    """`a book 2, and a pen 1`, or `nothing`: ALFWorld's way to list things."""
    items = [f"a {name}" for name in listed(list(names))]
    return ", and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items) or "nothing"


class World:
    """One household and the agent in it."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        """Set up the first state.

        Args:
            data: A task's data: `receptacles` (name to the spot where one stands to reach it), `objects`
                (name to the receptacle it is in) and `fixtures` (objects that cannot be picked up).
        """
        self._spots: dict[str, int] = dict(data["receptacles"])
        self.places: dict[str, str] = dict(data["objects"])
        """Receptacle of each object; the held object has none."""
        self._fixtures = frozenset(data["fixtures"])
        self._spot: int | None = None
        self._opened: set[str] = set()
        self._lit: set[str] = set()
        self.done: dict[str, set[str]] = {}
        """Treatments that still show on each object: clean, heat, cool."""
        self.held: str | None = None

    def commands(self) -> Commands:
        """Every command that is possible now and what it does; calling one changes the world."""
        possible: Commands = {"look": self.look, "inventory": self._inventory}
        for receptacle, spot in self._spots.items():
            if spot == self._spot:
                possible |= self._commands_at(receptacle)
            else:
                possible[f"go to {receptacle}"] = partial(self._go, receptacle)
        if self.held is not None:
            possible[f"examine {self.held}"] = partial(self._examine, self.held)
        return possible

    def look(self) -> str:
        """The room, or what one stands before."""
        if self._spot is None:
            seen = enumerate_things(self._spots)
            return f"You are in the middle of a room. Looking quickly around you, you see {seen}."
        here = enumerate_things(name for name, spot in self._spots.items() if spot == self._spot)
        facing = here.removeprefix("a ").replace(" a ", " ")
        return f"You are facing the {facing}. Next to it, you see nothing."

    def satisfies(self, goal: Goal) -> bool:
        """Whether the goal holds now."""
        if goal.type == LOOK:
            near = {r for r, spot in self._spots.items() if spot == self._spot}
            lit = any(kind_of(o) == goal.receptacle and self.places[o] in near for o in self._lit)
            return lit and self.held is not None and kind_of(self.held) == goal.object
        verb = TREATMENTS.get(goal.type, ("", ""))[0]
        found = [
            place
            for thing, place in self.places.items()
            if kind_of(thing) == goal.object
            and kind_of(place) == goal.receptacle
            and (not verb or verb in self.done.get(thing, ()))
        ]
        return any(found.count(place) >= goal.count for place in found)

    def _reachable(self, receptacle: str) -> bool:
        return kind_of(receptacle) not in OPENABLE or receptacle in self._opened

    def _inside(self, receptacle: str) -> list[str]:
        return [thing for thing, place in self.places.items() if place == receptacle]

    def _commands_at(self, receptacle: str) -> Commands:
        possible: Commands = {f"examine {receptacle}": partial(self._describe, receptacle)}
        if kind_of(receptacle) in OPENABLE:
            opened = receptacle in self._opened
            verb, act = ("close", self._close) if opened else ("open", self._open)
            possible[f"{verb} {receptacle}"] = partial(act, receptacle)
        for thing in self._inside(receptacle):
            if kind_of(thing) in AFFORDANCES["use"]:
                possible[f"use {thing}"] = partial(self._use, thing)
            if self.held is None and self._reachable(receptacle) and thing not in self._fixtures:
                possible[f"take {thing} from {receptacle}"] = partial(self._take, thing, receptacle)
        return possible | (self._commands_with(self.held, receptacle) if self.held is not None else {})

    def _commands_with(self, thing: str, receptacle: str) -> Commands:
        """What can be done at a receptacle with the thing in the hand."""
        possible: Commands = {}
        if self._reachable(receptacle) and kind_of(thing) in HOLDS.get(kind_of(receptacle), ()):
            possible[f"move {thing} to {receptacle}"] = partial(self._move, thing, receptacle)
        for verb, station in TREATMENTS.values():
            if station == kind_of(receptacle) and kind_of(thing) in AFFORDANCES[verb]:
                treat = partial(self._treat, verb, thing, receptacle)
                possible[f"{verb} {thing} with {receptacle}"] = treat
        return possible

    def _describe(self, receptacle: str) -> str:
        seen = enumerate_things(self._inside(receptacle))
        if kind_of(receptacle) not in OPENABLE:
            return f"On the {receptacle}, you see {seen}."
        if receptacle in self._opened:
            return f"The {receptacle} is open. In it, you see {seen}."
        return f"The {receptacle} is closed."

    def _go(self, receptacle: str) -> str:
        self._spot = self._spots[receptacle]
        return f"You arrive at {receptacle}. {self._describe(receptacle)}"

    def _open(self, receptacle: str) -> str:
        self._opened.add(receptacle)
        return f"You open the {receptacle}. {self._describe(receptacle)}"

    def _close(self, receptacle: str) -> str:
        self._opened.discard(receptacle)
        return f"You close the {receptacle}."

    def _take(self, thing: str, receptacle: str) -> str:
        del self.places[thing]
        self.held = thing
        return f"You pick up the {thing} from the {receptacle}."

    def _move(self, thing: str, receptacle: str) -> str:
        self.places[thing] = receptacle
        self.held = None
        return f"You move the {thing} to the {receptacle}."

    def _treat(self, verb: str, thing: str, receptacle: str) -> str:
        undone = {"heat": {"cool"}, "cool": {"heat"}}.get(verb, set())
        self.done[thing] = (self.done.get(thing, set()) - undone) | {verb}
        return f"You {verb} the {thing} using the {receptacle}."

    def _use(self, lamp: str) -> str:
        self._lit.add(lamp)
        return f"You turn on the {lamp}."

    def _inventory(self) -> str:
        return f"You are carrying: a {self.held}." if self.held else "You are not carrying anything."

    def _examine(self, thing: str) -> str:
        done = self.done.get(thing, set())
        clean = "clean" in done
        if "heat" in done:
            return f"This is a hot and clean {thing}." if clean else f"This is a hot {thing}."
        if "cool" in done:
            return f"This is a cool and clean {thing}." if clean else f"This is a cold {thing}."
        return f"This is a clean {thing}." if clean else f"There's nothing special about {thing}."
