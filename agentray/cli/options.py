"""Options that several commands share, and how a command's settings are resolved from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from agentray.cli import console
from agentray.config import Settings, load

_C = TypeVar("_C", bound=Settings)
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML file; the stage reads its own table.")
]
Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a setting: table.key=value.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved settings and stop.")]
Envs = Annotated[list[str] | None, typer.Option("--env", help="Environment id; may be repeated.")]
Tasks = Annotated[
    Path | None, typer.Option(help="File of `agentray tasks`, instead of environments and numbers.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Output directory.")]


def resolved(
    kind: type[_C], table: str, file: Path | None, sets: list[str] | None, dry_run: bool, /, **values: Any
) -> _C:
    """Resolved settings of a stage; with `dry_run`, print them and stop.

    Raises:
        UsageError: The file, a key or a value is wrong, or an environment with settings is not installed.
    """
    config = load(kind, table, file=file, overrides=sets or (), values=values)
    _check_environments(config)
    if dry_run:
        console.show({"stage": table, "settings": config.model_dump(mode="json")}, as_json=True)
        raise typer.Exit(0)
    return config


def _check_environments(config: Settings) -> None:
    """Refuse settings of environments that are not installed, a sweep's evaluation included."""
    for table in (config, getattr(config, "evaluate", None)):
        if settings := getattr(table, "env", None):
            from agentray.env import check_ids

            check_ids(settings)
