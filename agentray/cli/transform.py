"""`agentray transform`: steps over stored trajectories, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentray.cli import console
from agentray.cli.options import ConfigFile, DryRun, Json, Out, Sets, resolved
from agentray.config import TransformConfig


def transform(
    run: Annotated[list[Path] | None, typer.Option(help="Run directory; may be repeated.")] = None,
    apply: Annotated[list[str] | None, typer.Option(help="Name of a step; may be repeated.")] = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy that steps may ask: an endpoint or a plugin.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model to ask an endpoint for.")] = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Keep, change or reject stored trajectories, step by step; run again to resume."""
    from agentray.transforms.run import run as apply_all

    values = {"runs": run, "apply": apply, "policy": policy, "model": model, "out": out}
    settings = resolved(TransformConfig, "transform", config, sets, dry_run, **values)
    with console.progress("transform") as progress:
        summary = apply_all(settings, progress)
    console.show(summary, as_json=as_json)
