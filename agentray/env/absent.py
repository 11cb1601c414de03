"""Environments that are not installed: their stored attempts can be read and counted, not played."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import ClassVar, NoReturn, cast

from agentray.env.base import Hosting, TextEnvironment
from agentray.env.registry import resolve
from agentray.types import Split, Task

_log = logging.getLogger(__name__)


class Absent(TextEnvironment):
    """Not installed: it has no rules, no error types of its own, and rewards count as success from 1."""

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
def absent(name: str) -> TextEnvironment:
    """What stands for an environment that is not installed; says once that it does."""
    _log.warning(
        "environment %r is not installed: error types and figures of its own are missing, and rewards count "
        "as success from 1",
        name,
    )
    return cast(TextEnvironment, type(name, (Absent,), {"id": name, "description": Absent.description})())
