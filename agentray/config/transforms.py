"""Settings of the stages that apply transforms to stored attempts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from agentray.config.stages import EnvSettings, Settings


class FilterConfig(Settings):
    """Which trajectories to keep."""

    runs: list[Path] = Field(min_length=1)
    """Rollout run directories to read."""
    out: Path
    """Where the kept trajectories, the rejected keys with their reasons and the manifest go."""
    min_reward: float | None = None
    """Reward threshold; None uses each environment's own."""
    max_per_task: int | None = Field(None, ge=1)
    """Maximum number of trajectories kept per task, best reward first; None keeps all."""
    drop_duplicates: bool = True
    """Reject a trajectory whose replies repeat those of a kept one on an equal task."""
    env: EnvSettings = Field({})
    """Settings per environment id, over those that the runs were made with."""


class TransformConfig(Settings):
    """Which steps to apply to stored trajectories, in order."""

    runs: list[Path] = Field(min_length=1)
    """Finished run directories to read."""
    out: Path
    """Where the kept trajectories, the rejected keys with step and reason, and the manifest go. The same
    command resumes it."""
    apply: list[str] = Field(min_length=1)
    """Names of transforms: ours and those of plugins."""
    settings: dict[str, dict[str, Any]] = Field({})
    """Settings per transform, by name."""
    policy: str | None = None
    """Policy that transforms may ask: `http(s)://…/v1` endpoints separated by commas, or a plugin."""
    model: str | None = None
    """Model name to ask an endpoint for; None takes the first it lists. Where it is given, an interrupted
    chain may go on with the same model at another address."""
    policy_settings: dict[str, Any] = Field({})
    """Settings of a policy that is a plugin."""
    in_flight: int = Field(32, ge=1)
    """Trajectories that are in one async transform at once, and requests to an endpoint."""
    turn_timeout_s: float = Field(120.0, gt=0)
    """Longest wait for one answer of the policy."""
    env: EnvSettings = Field({})
    """Settings per environment id, over those that the runs were made with."""

    @model_validator(mode="after")
    def _each_once(self) -> TransformConfig:
        twice = [name for name in self.apply if self.apply.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} is applied twice; its settings and counts go by its name")
        return self


class RescoreConfig(Settings):
    """Which stored attempts to score again, and by which rules."""

    run: Path
    """Run directory to read."""
    out: Path
    """Where the rescored trajectories, lists of the changed and the refused ones, and the manifest go."""
    env: EnvSettings = Field({})
    """Settings per environment id, over those that the run was made with."""
    in_flight: int = Field(32, ge=1)
    """Episodes played again at once."""
    episode_timeout_s: float = Field(600.0, gt=0)
    """Longest time for one episode, in seconds."""
