"""`agentray environments` and `agentray tasks`: what there is to solve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentray.cli import console
from agentray.cli.options import ConfigFile, DryRun, Envs, Json, Sets, resolved
from agentray.config import TasksConfig
from agentray.errors import AgentrayError


def environments(as_json: Json = False) -> None:
    """List the installed environments."""
    from agentray.env import build, names, resolve

    rows, skipped = {}, {}
    for name in names():
        try:
            each = build(resolve(name))
        except AgentrayError as error:
            skipped[name] = error.why
        else:
            rows[name] = {"family": each.family, "turns": each.max_turns, "description": each.description}
    if as_json:
        console.show({"environments": rows, "skipped": skipped}, as_json=True)
    else:
        console.table(rows)
        console.lines([f"skipped {name}: {why}" for name, why in skipped.items()])


def tasks(
    env: Envs = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    num: Annotated[int | None, typer.Option(help="Tasks per environment.")] = None,
    start: Annotated[int | None, typer.Option(help="Tasks of the split to skip.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write: JSON lines, a task each.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Write tasks to a file that `rollout --tasks` and `evaluate --tasks` play."""
    from agentray.rollout.tasks import run

    values = {"envs": env, "split": split, "num_tasks": num, "first_task": start, "out": out}
    console.show(run(resolved(TasksConfig, "tasks", config, sets, dry_run, **values)), as_json=as_json)
