"""Settings of export and import."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from agentray.config.stages import Settings


class ExportConfig(Settings):
    """Which trajectories to write in the format of another tool."""

    run: Path
    """Finished directory of trajectories: of a rollout, a filter, an import and so on."""
    format: str
    """Name of the format, e.g. `atif`."""
    out: Path
    """File to write, which must not exist yet."""


class ImportConfig(Settings):
    """Which file of another tool to turn into trajectories."""

    format: str
    """Name of the format, e.g. `agentinstruct`."""
    file: Path
    """File to read."""
    out: Path
    """Where the trajectories, the list of rejected records and the manifest go."""
    environment: str | None = None
    """Environment of the tasks; None uses the one each record names, or `imported`."""
    reward: float | None = Field(None, allow_inf_nan=False)
    """Reward of the trajectories whose record has none; None leaves it unknown."""
