"""The household's tables, read once from household.toml: rooms, receptacles, objects and their uses."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Room:
    """What a kind of room is furnished with."""

    always: Mapping[str, tuple[int, int]]
    """Least and greatest number of each receptacle type."""
    sometimes: tuple[str, ...]
    """Receptacle types of which a room has one or none."""
    objects: tuple[str, ...]
    """Object types that are found here."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """All receptacle types the room may have."""
        return (*self.always, *self.sometimes)


def _load() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("household.toml").read_text(encoding="utf-8"))


def _holds(receptacles: Mapping[str, Mapping[str, str]]) -> dict[str, frozenset[str]]:
    return {
        kind: frozenset(receptacles[entry.get("like", kind)]["holds"].split())
        for kind, entry in receptacles.items()
    }


_TABLES = _load()

HOLDS: Mapping[str, frozenset[str]] = _holds(_TABLES["receptacles"])
"""Object types that each receptacle type may contain."""
OPENABLE = frozenset(kind for kind, entry in _TABLES["receptacles"].items() if entry.get("openable"))
AFFORDANCES: Mapping[str, frozenset[str]] = {
    verb: frozenset(members.split()) for verb, members in _TABLES["affordances"].items()
}
"""Object types that can be treated by each verb: clean, heat, cool, use."""
LIKELY: Mapping[str, frozenset[str]] = {
    member: frozenset(group["likely"].split())
    for group in _TABLES["groups"].values()
    for member in group["members"].split()
}
"""Receptacle types where each object type is usually kept."""
ROOMS: Mapping[str, Room] = {
    name: Room(
        always={kind: (low, high) for kind, (low, high) in entry["always"].items()},
        sometimes=tuple(entry["sometimes"]),
        objects=tuple(m for group in entry["groups"] for m in _TABLES["groups"][group]["members"].split()),
    )
    for name, entry in _TABLES["rooms"].items()
}


def kind_of(name: str) -> str:
    """Type of a numbered thing: `mug` for `mug 1`."""
    return name.rsplit(" ", 1)[0]


def listed(names: Mapping[str, Any] | list[str]) -> list[str]:
    """Names in the order in which ALFWorld lists them: by type, then the highest number first."""
    return sorted(names, key=lambda name: (kind_of(name), -int(name.rsplit(" ", 1)[1])))
