"""The environments of stored attempts, as their run recorded them."""

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


def recorded(directory: Path) -> dict[str, dict[str, Any]]:
    """What a run says of its environments, by id: `settings`, `reward_threshold`, `version` and others.

    Runs of earlier versions tell their settings only; an unfinished one has them in its plan.

    Raises:
        DataError: The manifest cannot be read.
    """
    if manifest.is_complete(directory):
        written = manifest.read(directory)
        found, settings = written.counts.get("environments"), written.config.get("env")
    else:
        try:
            plan = read_plan(directory)
        except UsageError:
            return {}
        found, settings = plan.get("environments"), plan["env"]
    plain = {name: {"settings": each} for name, each in (settings or {}).items()}
    return {**plain, **(found or {})}


def settings_of(directory: Path) -> dict[str, dict[str, Any]]:
    """Settings per environment id that a run was made with; see `recorded`."""
    return {name: dict(each.get("settings") or {}) for name, each in recorded(directory).items()}


def built(name: str, settings: Mapping[str, Any], record: Mapping[str, Any]) -> TextEnvironment:
    """The environment of stored attempts that are only read, such as imported ones: it may be absent.

    Args:
        name: Its id.
        settings: Those that the attempts were made with.
        record: What their run recorded of it; used where it is absent.

    Raises:
        UsageError: It refuses its settings.
        MissingDependencyError: It cannot be imported.
    """
    if name in names():
        return located(name, settings)[1]
    return absent(name, **{key: record[key] for key in ("family", "reward_threshold") if key in record})


def located(name: str, settings: Mapping[str, Any]) -> tuple[EnvSpec, TextEnvironment]:
    """The environment of stored attempts, and how to build it elsewhere.

    Where the file of its tasks has gone, it is built without that file.

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
