"""What people add by name: one registry for each seam, filled by entry points.

A distribution registers a class or function under `[project.entry-points."agentray.GROUP"]`; what agentray
brings itself is in a table beside the seam, and looks the same to whoever asks. A plugin that cannot be
imported is named where it is asked for, and never stops those that list the others.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from agentray.errors import MissingDependencyError, UsageError, closest


@dataclass(frozen=True)
class Seam:
    """One kind of plugin.

    Args:
        kind: What it is called, e.g. `environment`; its entry points are in the group `agentray.KINDs`.
        built_in: Entry point (`module:attribute`) of each that agentray brings, by name.
        hint: What to type where a name is unknown.
    """

    kind: str
    built_in: Mapping[str, str]
    hint: str
    group: str = field(init=False)

    def __post_init__(self) -> None:
        plural = self.kind.removesuffix("y") + ("ies" if self.kind.endswith("y") else "s")
        object.__setattr__(self, "group", f"agentray.{plural.replace(' ', '_')}")

    def names(self) -> list[str]:
        """All registered names, sorted; those that cannot be imported too."""
        return sorted({*self.built_in, *_found(self.group)})

    def entry_point(self, name: str) -> str:
        """Where a plugin is: `module:attribute`, plain text that any worker can load.

        Raises:
            UsageError: The name is not registered, or two distributions register it.
        """
        found = _found(self.group).get(name, ())
        places = list(dict.fromkeys([*filter(None, [self.built_in.get(name)]), *(p.value for p in found)]))
        if not places:
            raise UsageError(f"unknown {self.kind} {name!r}", closest(name, self.names()), self.hint)
        if len(places) > 1:
            owners = [*(["agentray"] if name in self.built_in else []), *map(_owner, found)]
            raise UsageError(
                f"two plugins are the {self.kind} {name!r}",
                f"{' and '.join(owners)} both register it",
                f"pip uninstall one of them: {', '.join(each for each in owners if each != 'agentray')}",
            )
        return places[0]

    def load(self, name: str) -> Any:
        """The registered object.

        Raises:
            UsageError: The name is not registered, or two distributions register it.
            MissingDependencyError: It cannot be imported.
        """
        place = self.entry_point(name)
        try:
            return load_attribute(place)
        except Exception as error:  # a plugin's module may raise anything while it is imported
            raise MissingDependencyError(
                f"{self.kind} {name!r} cannot be imported",
                f"{place}: {type(error).__name__}: {' '.join(str(error).split())}",
                f"install what it needs: {self._install(name)}",
            ) from error

    def loadable(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Every object that can be loaded, by name; and why each of the others cannot."""
        good: dict[str, Any] = {}
        bad: dict[str, str] = {}
        for name in self.names():
            try:
                good[name] = self.load(name)
            except (UsageError, MissingDependencyError) as error:
                bad[name] = error.why
        return good, bad

    def _install(self, name: str) -> str:
        owners = [_owner(point) for point in _found(self.group).get(name, ())]
        return f"pip install {owners[0]}" if owners else 'pip install "agentray[all]"'


def load_attribute(entry_point: str) -> Any:
    """The object that `module:attribute` names.

    Raises:
        ImportError: There is no such module or attribute.
    """
    module_name, _, attribute = entry_point.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except AttributeError as error:
        raise ImportError(f"{module_name} has no {attribute!r}") from error


@cache
def _found(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Entry points of a group by name; one that several distributions register is there several times."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=group):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
