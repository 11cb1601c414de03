"""`agentray overall`: the Overall of the paper's models, and of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentray.cli import console
from agentray.cli.options import Json
from agentray.errors import UsageError

if TYPE_CHECKING:
    from agentray.overall.baselines import Published
    from agentray.overall.groups import Results


def overall(
    directories: Annotated[
        list[Path] | None, typer.Argument(help="Evaluation runs, and directories with a suite.json.")
    ] = None,
    paper: Annotated[
        bool, typer.Option("--published", help="Recompute the published table of eight models.")
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(help="With --published: this model only; may be repeated.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Average over the tasks that are there when some are missing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Mean of score / baseline mean, for each group of tasks."""
    from agentray.overall.baselines import load, published
    from agentray.overall.groups import measure

    if not directories and not paper:
        raise UsageError(
            "nothing to average", "no evaluation run is given", "agentray overall RUN..., or --published"
        )
    table = published(load(), model or ()) if paper else None
    found = measure(directories, load(), partial=partial) if directories else None
    if as_json:
        both = {"published": table, "measured": found}
        console.show({name: each for name, each in both.items() if each is not None}, as_json=True)
        return
    if table is not None:
        _print_published(table)
    if found is not None:
        _print_measured(found)


def _print_published(table: Published) -> None:
    from agentray.overall.baselines import TITLES

    rows = {
        name: {
            TITLES[group]: f"{cell['recomputed']:.4f} ({cell['published']:.2f})"
            for group, cell in cells.items()
        }
        for name, cells in table.models.items()
    }
    console.table(rows)
    console.lines(["in brackets: as printed", f"baselines {table.baselines}: {table.source}"])


def _print_measured(found: Results) -> None:
    for policy, groups in found.policies.items():
        console.lines([f"policy {policy}, baselines {found.baselines}"])
        console.table(
            {
                group.title: {
                    "overall": "refused" if group.overall is None else group.overall,
                    "crash = 0": group.failed_as_zero,
                    "tasks": f"{len(group.tasks)} of {len(group.tasks) + len(group.missing)}",
                    "comparable": "yes" if group.comparable else "no",
                }
                for group in groups.values()
            }
        )
        tasks: dict[str, dict[str, Any]] = {
            name: {
                "score": task.measured.score,
                "crash = 0": task.measured.failed_as_zero,
                "baseline mean": task.baseline,
                "ratio": task.ratio,
                "n": task.measured.n,
                "failed": task.measured.failed,
                "data": "synthetic" if task.measured.synthetic else "the benchmark's",
            }
            for group in groups.values()
            for name, task in group.tasks.items()
        }
        console.table(tasks)
        console.lines(
            [f"not comparable, {group.title}: {note}" for group in groups.values() for note in group.notes]
        )
    console.lines([f"not in the table: {each}" for each in found.left_out])
