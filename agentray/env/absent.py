"""Environments that are not installed: their stored attempts can be read and counted, not played."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import ClassVar, NoReturn, cast

from agentray.env.base import Hosting, TextEnvironment
from agentray.env.registry import resolve
from agentray.types import Family, Split, Task

_log = logging.getLogger(__name__)


class Absent(TextEnvironment):
    """Not installed: it has no rules and no error types of its own."""

    hosting: ClassVar[Hosting] = Hosting("inline")

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """Not known.

        Raises:
            UsageError: Always; it says how to install the environment.
        """
        self._refuse()

    def make(self) -> NoReturn:
        """Not possible.

        Raises:
            UsageError: Always; it says how to install the environment.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        resolve(self.id)
        raise RuntimeError(f"environment {self.id!r} has been installed meanwhile: start again")


@cache
def absent(name: str, family: Family = "held_in", reward_threshold: float = 1.0) -> TextEnvironment:
    """In place of an environment that is not installed; says so once.

    Args:
        name: Its id.
        family: What a run recorded of it.
        reward_threshold: Likewise.
    """
    _log.warning(
        "environment %r is not installed: error types and figures of its own are missing, and rewards count "
        "as success from %g",
        name,
        reward_threshold,
    )
    known = {"id": name, "family": family, "reward_threshold": reward_threshold}
    return cast(TextEnvironment, type(name, (Absent,), {**known, "description": Absent.description})())
