"""Training methods: what is learnt from a row, and which weights it moves. `base` says what one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentray.config import validated
from agentray.errors import UsageError
from agentray.train.methods.base import Method
from agentray.train.registry import METHODS

__all__ = ["METHODS", "Method", "build"]


def build(table: Mapping[str, Any]) -> Method:
    """The method that `train.method` asks for.

    Args:
        table: Its `name`, and its own settings.

    Raises:
        UsageError: There is no such method, it is not a `Method`, or it has no such setting.
        MissingDependencyError: It cannot be imported.
    """
    name = str(table["name"])
    kind = METHODS.load(name)
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        place = METHODS.entry_point(name)
        raise UsageError(
            f"training method {name!r} is no training method",
            f"{place} is not a subclass of agentray.train.methods.Method",
            "correct the entry point, or --set train.method=full",
        )
    own = {key: value for key, value in table.items() if key != "name"}
    return kind(validated(kind.Settings, "train.method", own))
