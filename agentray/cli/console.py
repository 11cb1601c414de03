"""What the command line shows: results on stdout, progress on stderr, one JSON document with `--json`."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from agentray.errors import AgentrayError, without_secrets
from agentray.types import Progress

_PLAIN_EVERY_S = 5.0


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A progress reporter: a bar on a terminal, else one plain line every few seconds, both on stderr.

    What libraries print meanwhile also goes to stderr: stdout is for results.
    """
    with redirect_stdout(sys.stderr):
        if sys.stderr.isatty():
            with _bar(label) as report:
                yield report
        else:
            yield _plain(label)


class _Bar(RichProgress):
    """A bar, and below it what has been running longest."""

    slowest: Sequence[str] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.slowest:
            yield Text("\n".join(f"  {line}" for line in ("slowest:", *self.slowest)), style="dim")


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[shown]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with _Bar(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(label, total=None, shown="")

        def report(
            done: int, total: int, *, slowest: Sequence[str] = (), **fields: float | int | str
        ) -> None:
            shown.slowest = slowest if done < total else ()
            shown.update(task, completed=done, total=total or None, shown=_fields(fields))

        yield report


def _plain(label: str) -> Progress:
    last = 0.0

    def report(done: int, total: int, *, slowest: Sequence[str] = (), **fields: float | int | str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PLAIN_EVERY_S or done == total:
            last = now
            of = f"/{total}" if total else ""
            print(f"{label}: {done}{of} {_fields(fields)}", file=sys.stderr, flush=True)

    return report


def _fields(fields: Mapping[str, float | int | str]) -> str:
    return " ".join(f"{name}={value}" for name, value in fields.items() if value != "")


def document(summary: Any) -> Any:
    """A summary as plain JSON data, in which no URL shows a password."""
    if dataclasses.is_dataclass(summary) and not isinstance(summary, type):
        return {field.name: document(getattr(summary, field.name)) for field in dataclasses.fields(summary)}
    if isinstance(summary, Mapping):
        return {str(key): document(value) for key, value in summary.items()}
    if isinstance(summary, list | tuple):
        return [document(value) for value in summary]
    return without_secrets(summary) if isinstance(summary, str) else summary


def show(summary: Any, *, as_json: bool) -> None:
    """Print what a stage did: one JSON document, or aligned lines."""
    plain = document(summary)
    if as_json:
        print(json.dumps(plain, indent=1, ensure_ascii=False, default=str))
        return
    width = max((len(name) for name in plain), default=0)
    for name, value in plain.items():
        is_table = isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())
        if is_table and any(value.values()):
            print(f"{name}:")
            table({label: _flat(row) for label, row in value.items()})
            lines([f"  {label} {_short(part)}" for label, row in value.items() for part in _nested(row)])
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            print(f"{name}:")
            table({_short(next(iter(row.values()))): dict(list(row.items())[1:]) for row in value})
        elif isinstance(value, dict) and value and all(isinstance(each, str) for each in value.values()):
            print(f"{name}:")
            lines([f"  {label}: {text}" for label, text in value.items()])
        else:
            print(f"{name:<{width}}  {_short(value)}")


def table(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print rows of named values; columns that no row fills are omitted."""
    columns = list(dict.fromkeys(name for row in rows.values() for name, value in row.items() if value != {}))
    shown = Table(box=None, pad_edge=True, header_style="bold")
    shown.add_column("")
    for name in columns:
        shown.add_column(name, justify="right", overflow="fold")
    for label, row in rows.items():
        shown.add_row(label, *(_short(row.get(name, "")) for name in columns))
    Console(markup=False).print(shown)


def lines(rows: Sequence[str]) -> None:
    """Print plain lines."""
    for row in rows:
        print(row)


def fail(error: AgentrayError, *, as_json: bool) -> None:
    """Print an error: three lines on stderr, or one JSON document on stdout."""
    if as_json:
        body = {"type": type(error).__name__, "what": error.what, "why": error.why, "fix": error.fix}
        print(json.dumps({"error": body}, indent=1, ensure_ascii=False))
    else:
        print(error, file=sys.stderr)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values that fit into a table cell."""
    return {name: value for name, value in row.items() if not isinstance(value, dict)}


def _nested(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What does not fit, and is not empty."""
    return [value for value in row.values() if isinstance(value, dict) and value]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(_short(each) for each in value) or "-"
    if isinstance(value, dict):
        return "  ".join(f"{name} {_short(each)}" for name, each in value.items()) or "-"
    return "-" if value is None else str(value)
