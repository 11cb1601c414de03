"""Which models an endpoint lists, in whatever form, and whether a name is among them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from agentray.errors import PolicyError, closest


def listed(document: Any) -> list[str]:
    """Names in an answer to `GET /models`: an object with a list in it, or a bare list."""
    rows = document
    if isinstance(document, dict):
        rows = document.get("data") or document.get("models")
    found = []
    for row in rows if isinstance(rows, list) else []:
        name = row if isinstance(row, str) else None
        if isinstance(row, dict):
            name = next((row[key] for key in ("id", "name", "model") if isinstance(row.get(key), str)), None)
        if name:
            found.append(name)
    return found


def lists(names: Sequence[str], model: str) -> bool:
    """Whether a list holds a model: by its name, a pattern, a prefix (`models/`) or a tag (`:latest`)."""
    short = model.removeprefix("models/")
    return any(
        short == name.removeprefix("models/")
        or short == name.removesuffix(":latest")
        or fnmatchcase(model, name)
        for name in names
    )


def first(names: Sequence[str]) -> str | None:
    """The model to ask for where the user names none; patterns are no names."""
    return next((name for name in names if "*" not in name), None)


def not_served(shown: str, model: str, names: Sequence[str]) -> PolicyError:
    """The error for a model that an endpoint does not list."""
    return PolicyError(
        f"{shown} does not serve {model!r}",
        closest(model, names),
        "give --model NAME; attempts of another model need another --out",
    )
