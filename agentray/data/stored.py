"""The environments of stored attempts, with the settings that they were made with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.data.runs import read_plan
from agentray.env import TextEnvironment, build, names, resolve
from agentray.env.absent import absent
from agentray.errors import DataError, UsageError
from agentray.types import EnvSpec


def built(name: str, settings: Mapping[str, Any], recorded: Mapping[str, Any]) -> TextEnvironment:
    """The environment of stored attempts that are only read, such as imported ones: it may be absent.

    Args:
        name: Its id.
        settings: Those that the attempts were made with.
        recorded: What their run recorded of it; used where it is absent.

    Raises:
        UsageError: It refuses its settings.
        MissingDependencyError: It cannot be imported.
    """
    if name in names():
        return located(name, settings)[1]
    return absent(name, **{key: recorded[key] for key in ("family", "reward_threshold") if key in recorded})


def located(name: str, settings: Mapping[str, Any]) -> tuple[EnvSpec, TextEnvironment]:
    """The environment of stored attempts, and how to build it elsewhere.

    Raises:
        UsageError: It is not installed, or refuses its settings.
        MissingDependencyError: It cannot be imported.
    """
    spec = resolve(name, settings)
    try:
        return spec, build(spec)
    except (UsageError, DataError):
        data = settings.get("data")
        if not isinstance(data, str) or Path(data).exists():
            raise
        spec = resolve(name, {key: value for key, value in settings.items() if key != "data"})
        return spec, build(spec)


def settings_of(directory: Path) -> dict[str, dict[str, Any]]:
    """Settings per environment id that a run was made with, or the runs that a filter read.

    Raises:
        DataError: The manifest cannot be read.
    """
    if manifest.is_complete(directory):
        written = manifest.read(directory)
        return dict(written.counts.get("env") or written.config.get("env") or {})
    try:
        return dict(read_plan(directory)["env"])
    except UsageError:
        return {}
