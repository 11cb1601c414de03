"""`agentray runs`: what is in run directories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentray.cli import console
from agentray.cli.options import Json

runs = typer.Typer(help="Rollout directories.", no_args_is_help=True, rich_markup_mode=None)


@runs.callback()
def _group() -> None:
    """Rollout directories."""


@runs.command("show")
def show_(
    directory: Annotated[Path, typer.Argument(help="A rollout's --out.")],
    most: Annotated[int, typer.Option(min=0, help="How many running and failed attempts to name.")] = 5,
    as_json: Json = False,
) -> None:
    """Count what a run has done, also while it is running."""
    from agentray.data.runs import read_plan, show
    from agentray.env import build, resolve

    plan = read_plan(directory)
    found = plan.get("environments") or {}
    thresholds = {
        env: found[env]["reward_threshold"]
        if env in found
        else build(resolve(env, plan["env"].get(env))).reward_threshold
        for env in {**dict.fromkeys(plan["envs"]), **found}
    }
    console.show(show(directory, thresholds, most=most), as_json=as_json)
