"""A finished run as evaluation reads it: its attempts, and the environment settings of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.data.runs import read_plan
from agentray.data.store import iterate_run
from agentray.env import TextEnvironment, build, resolve
from agentray.errors import DataError, UsageError
from agentray.types import EnvSpec, Trajectory


@dataclass(frozen=True)
class StoredRun:
    """Attempts of a finished run; at least one."""

    path: Path
    trajectories: Sequence[Trajectory]
    settings: Mapping[str, Mapping[str, Any]]
    """Settings per environment id, as the manifest has them."""

    def environments(self) -> dict[str, TextEnvironment]:
        """The environments of the attempts, by id, built with the run's own settings.

        Attempts carry their tasks: where the file of tasks has gone, the environment is built without it.

        Raises:
            UsageError: One is not installed, or refuses its settings.
            MissingDependencyError: One cannot be imported.
        """
        found = sorted({each.task.env for each in self.trajectories})
        return {name: built(name, self.settings.get(name) or {}) for name in found}


def built(name: str, settings: Mapping[str, Any]) -> TextEnvironment:
    """The environment of stored attempts, which carry their tasks; see `located`."""
    return located(name, settings)[1]


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


def read(directory: Path) -> StoredRun:
    """All attempts of a finished run.

    Raises:
        UsageError: The directory does not exist, is not a run or is not complete.
        DataError: It holds no attempt, or a file that cannot be read: a damaged one, or another schema's.
    """
    settings = manifest.read(directory).config.get("env") or {}
    trajectories = list(iterate_run(directory))
    if not trajectories:
        raise DataError(
            f"{str(directory)!r} holds no attempt", "all its files are empty", "run its rollout again"
        )
    return StoredRun(directory, trajectories, settings)
