"""Checks of environment settings, which come from a file or the command line: `[env.NAME]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentray.env.registry import names
from agentray.errors import UsageError, closest


def check_ids(settings: Mapping[str, Any]) -> None:
    """Refuse settings of an environment that is not installed: nobody would read them.

    Args:
        settings: Settings by environment id.

    Raises:
        UsageError: An id is unknown; the message names the closest.
    """
    for env in settings:
        if env not in names():
            raise UsageError(
                f"settings for an unknown environment {env!r}", closest(env, names()), "correct its name"
            )


def check_int(env: str, name: str, value: object, least: int | None = None) -> None:
    """Refuse a setting that is no whole number.

    Args:
        env: Environment id.
        name: The setting.
        value: What the user gave.
        least: Smallest accepted number; None accepts all.

    Raises:
        UsageError: It is none, or too small.
    """
    good = isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)
    if not good:
        accepted = "a whole number" if least is None else f"a whole number of {least} or more"
        raise _wrong(env, name, value, accepted, "NUMBER")


def check_bool(env: str, name: str, value: object) -> None:
    """Refuse a setting that is neither true nor false.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(value, bool):
        raise _wrong(env, name, value, "true or false", "true")


def check_path(env: str, name: str, value: object) -> None:
    """Refuse a setting that is neither a path nor left out.

    Raises:
        UsageError: It is neither.
    """
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(env, name, value, "a path", "PATH")


def _wrong(env: str, name: str, value: object, accepted: str, example: str) -> UsageError:
    return UsageError(
        f"setting 'env.{env}.{name}' is {value!r}",
        f"it must be {accepted}",
        f"--set env.{env}.{name}={example}",
    )
