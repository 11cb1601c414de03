"""References in a recipe: `"{NAME}"` stands for a setting, or for the output directory of a stage.

`"{train.model}"` stands for a figure or path in the stage's result. A text that is one reference takes the
value as it is; within a longer text it becomes text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

_REFERENCE = re.compile(r"\{([a-z][\w-]*)(?:\.(\w+))?\}")


class _Absent:
    """What a reference to a stage that is not run stands for: settings and list items with it vanish."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
Lookup = Callable[[str, str | None], Any]
"""From a name and, perhaps, a field of it to the value."""


def references(value: Any) -> Iterator[tuple[str, str | None]]:
    """Names, and fields of them, that a value refers to, in tables and lists too."""
    if isinstance(value, str):
        yield from ((match[1], match[2]) for match in _REFERENCE.finditer(value))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def resolve(value: Any, lookup: Lookup) -> Any:
    """The value with every reference replaced; `ABSENT` where it refers to what is absent."""
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return lookup(whole[1], whole[2])
        found = [lookup(*each) for each in references(value)]
        if any(each is ABSENT for each in found):
            return ABSENT
        parts = iter(found)
        return _REFERENCE.sub(lambda match: str(next(parts)), value)
    if isinstance(value, Mapping):
        items = ((key, resolve(each, lookup)) for key, each in value.items())
        return {key: each for key, each in items if each is not ABSENT}
    if isinstance(value, list):
        return [each for each in (resolve(each, lookup) for each in value) if each is not ABSENT]
    return value
