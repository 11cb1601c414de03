"""`agentray export` and `agentray import`: trajectories to and from files of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentray.cli import console
from agentray.cli.options import ConfigFile, DryRun, Json, Out, Sets, resolved
from agentray.config import ExportConfig, ImportConfig

Form = Annotated[
    str | None, typer.Option("--format", help="Name of the format, e.g. atif; agentray doctor lists all.")
]


def export(
    run: Annotated[Path | None, typer.Option(help="Finished directory of trajectories.")] = None,
    form: Form = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Write trajectories in the format of another tool; say what it cannot hold."""
    from agentray.formats import transfer

    settings = resolved(ExportConfig, "export", config, sets, dry_run, run=run, format=form, out=out)
    with console.progress("export") as progress:
        summary = transfer.export(settings, progress)
    console.show(summary, as_json=as_json)


def import_(
    form: Form = None,
    file: Annotated[Path | None, typer.Option(help="File to read.")] = None,
    out: Out = None,
    env: Annotated[
        str | None, typer.Option(help="Environment of the tasks; default: as the records say.")
    ] = None,
    reward: Annotated[
        float | None, typer.Option(help="Reward of trajectories whose record has none; default: unknown.")
    ] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Turn the file of another tool into trajectories; say which records cannot be used, and why."""
    from agentray.formats import transfer

    values = {"format": form, "file": file, "out": out, "environment": env, "reward": reward}
    settings = resolved(ImportConfig, "import", config, sets, dry_run, **values)
    with console.progress("import") as progress:
        summary = transfer.import_(settings, progress)
    console.show(summary, as_json=as_json)
    if summary.unknown_reward and not as_json:
        console.lines(
            [
                f"The reward of {summary.unknown_reward} is unknown, so filters by reward reject them: "
                "give --reward 1 if the file holds successes only."
            ]
        )
