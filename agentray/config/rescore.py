"""Settings of the rescore stage."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from agentray.config.stages import EnvSettings, Settings


class RescoreConfig(Settings):
    """Which stored attempts to score again, and by which rules."""

    run: Path
    """Run directory to read."""
    out: Path
    """Where the re-scored trajectories go, lists of what changed and what was refused, and the manifest."""
    env: EnvSettings = Field({})
    """Settings per environment id, over those that the run was made with."""
    in_flight: int = Field(32, ge=1)
    """Episodes played again at once."""
    episode_timeout_s: float = Field(600.0, gt=0)
    """Longest time for one episode: reset and every step."""
