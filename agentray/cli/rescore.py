"""`agentray rescore`: today's rules applied to stored attempts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentray.cli import console
from agentray.cli.options import ConfigFile, DryRun, Json, Out, Sets, resolved
from agentray.config import RescoreConfig


def rescore(
    directory: Annotated[Path | None, typer.Argument(help="Run to score again.")] = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Score stored attempts again with the installed environments, without a model call."""
    from agentray.transforms.rescore import run

    settings = resolved(RescoreConfig, "rescore", config, sets, dry_run, run=directory, out=out)
    with console.progress("rescore") as progress:
        summary = run(settings, progress)
    console.show(summary, as_json=as_json)
