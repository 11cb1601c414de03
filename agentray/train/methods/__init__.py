"""Training methods: what is learnt from a row, and which weights it moves. `base` says what one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentray.config import validated
from agentray.train.methods.base import Method
from agentray.train.registry import METHODS

__all__ = ["METHODS", "Method", "build"]


def build(table: Mapping[str, Any]) -> Method:
    """The method that `train.method` asks for.

    Args:
        table: Its `name`, and its own settings.

    Raises:
        UsageError: There is no such method, or it has no such setting.
        MissingDependencyError: It cannot be imported.
    """
    kind: type[Method] = METHODS.load(str(table["name"]))
    own = {key: value for key, value in table.items() if key != "name"}
    return kind(validated(kind.Settings, "train.method", own))
