"""`agentray report`: one page about one run, or about several on the same tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentray.cli import console
from agentray.cli.options import ConfigFile, DryRun, Json, Out, Sets, resolved
from agentray.config import ReportConfig
from agentray.errors import UsageError

_SHOWN = ("score", "before", "after", "p_value", "detectable", "n")


def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN...", help="Evaluations or rollouts; the first is the base."),
    ] = None,
    train: Annotated[Path | None, typer.Option(help="Training run, for its curves.")] = None,
    tune: Annotated[Path | None, typer.Option(help="Sweep, for its table.")] = None,
    suite: Annotated[list[Path] | None, typer.Option(help="General suite; may be repeated.")] = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Write one page: scores, errors, curves, cost, and every trajectory, two side by side."""
    from agentray.report.run import run

    if not (runs or config or sets):
        raise UsageError(
            "no run was given", "a report is about one or more", "agentray report RUN... --out DIR"
        )
    values = {"runs": runs or None, "train": train, "tune": tune, "suite": suite or None, "out": out}
    summary = run(resolved(ReportConfig, "report", config, sets, dry_run, **values))
    if as_json:
        console.show(summary, as_json=True)
        return
    console.table(
        {env: {name: row[name] for name in _SHOWN if name in row} for env, row in summary.scores.items()}
    )
    console.lines(
        [f"{summary.trajectories} trajectories", f"page:    {summary.html}", f"numbers: {summary.json}"]
    )
