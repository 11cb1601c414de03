"""`agentray run` and `agentray quickstart`: a whole loop, its progress on stderr, its results on stdout."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from agentray.cli import console
from agentray.cli.options import Json, Out, Sets
from agentray.recipes import pace
from agentray.recipes.recipe import Recipe, load_recipe
from agentray.recipes.run import RecipeSummary, StageResult, check
from agentray.recipes.run import run as run_recipe
from agentray.types import Progress, silent

Minutes = Annotated[
    float | None, typer.Option(help="Cut sizes that the recipe names to fit this time.", min=0.1)
]
_SHOWN = 4
"""Figures of a stage's summary in its line."""
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print every stage's settings and stop.")]


def run(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or a registered recipe: quickstart.")],
    out: Out = None,
    minutes: Minutes = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Run a recipe: a whole loop in one file. Run it again to go on where it stopped."""
    loaded = load_recipe(recipe, out=out, overrides=sets or ())
    if dry_run:
        console.show(_plan(loaded), as_json=True)
        return
    summary = run_recipe(loaded, Terminal(), minutes)
    if as_json:
        console.show(summary, as_json=True)
    else:
        conclude(summary)


def quickstart(
    out: Out = None,
    minutes: Minutes = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """The whole loop once, on this machine: collect, filter, mix, train, evaluate, report; then serve it."""
    loaded = load_recipe("quickstart", out=out, overrides=sets or ())
    if dry_run:
        console.show(_plan(loaded), as_json=True)
        return
    summary = run_recipe(loaded, Terminal(), minutes)
    if as_json:
        report = json.loads(Path(summary.results["report.json"]).read_text(encoding="utf-8"))
        console.show(report | {"serve_command": serve_command(summary)}, as_json=True)
    else:
        conclude(summary)


class Terminal:
    """Shows a recipe on stderr: a bar on a terminal while a stage runs, one line when it ends."""

    def begin(self, lines: Sequence[str]) -> None:
        """Show what is known before the first stage."""
        for line in lines:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """A bar on a terminal; what libraries print goes to stderr too: stdout is for results."""
        if sys.stderr.isatty():
            with console.progress(f"{name:<16}") as progress:
                yield progress
        else:
            with redirect_stdout(sys.stderr):
                yield silent

    def end(self, result: StageResult, left_s: float | None) -> None:
        """One line: what came of it, how long it took, how long the others will."""
        shown = result.state if result.state != "done" else _counts(result.counts)
        left = "" if left_s is None else f"   about {pace.duration(left_s)} left" if left_s else "   done"
        line = f"{result.name:<17} {shown:<60} {pace.duration(result.wall_s):>11}{left}"
        print(line, file=sys.stderr, flush=True)


def conclude(summary: RecipeSummary) -> None:
    """Print the results: scores, where the time went, what the recipe leaves and how to serve it."""
    page = summary.results.get("report.json")
    if page is not None:
        console.table(_scores(json.loads(Path(page).read_text(encoding="utf-8"))))
    if summary.pace:
        console.lines([f"cut to fit the budget: {each}" for each in pace.reductions(summary.pace)])
    console.table({each.name: {"seconds": each.wall_s, "state": each.state} for each in summary.stages})
    memory = f"at most {summary.peak_memory_bytes / 2**30:.1f} GiB of memory"
    console.lines([f"{summary.wall_s:.0f} s, {memory}"])
    console.lines([f"{name}: {value}" for name, value in summary.results.items()])
    command = serve_command(summary)
    if command is not None:
        console.lines([f"serve: {command}"])


def serve_command(summary: RecipeSummary) -> str | None:
    """What to type to serve the model that a recipe leaves; None where it leaves none."""
    if "model" not in summary.results:
        return None
    return f"{_typed()} serve --model {shlex.quote(str(Path(summary.out) / 'model'))} --port 8000"


def _plan(recipe: Recipe) -> dict[str, Any]:
    """Every stage with its settings, in the order in which they run."""
    settings = check(recipe)
    rows = []
    for group in recipe.groups():
        for step in group:
            config = settings[step.name]
            row: dict[str, Any] = {"name": step.name, "run": step.run, "skipped": config is None}
            rows.append(row | ({} if config is None else {"settings": config.model_dump(mode="json")}))
    return {"recipe": recipe.name, "out": str(recipe.out), "stages": rows}


def _counts(counts: Mapping[str, Any]) -> str:
    """The first figures of a summary, on one line: scores, else numbers, tables of numbers as their sums."""
    if scores := counts.get("scores"):
        means = ((name, score.get("mean", score.get("after"))) for name, score in scores.items())
        return ", ".join(f"{name} {mean:.3g}" for name, mean in means if mean is not None)
    figures: dict[str, float] = {}
    for name, value in counts.items():
        rows = value.values() if isinstance(value, Mapping) else [value]
        if name != "wall_s" and rows and all(type(each) in (int, float) for each in rows) and sum(rows):
            figures[name] = sum(rows)
    return ", ".join(f"{name} {value:.4g}" for name, value in list(figures.items())[:_SHOWN])


def _scores(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A report's figures before and after, as rows of a table."""
    rows = {
        env: {"before": score["before"], "after": score["after"], "unseen tasks": score["n"]}
        for env, score in report["scores"].items()
        if "after" in score
    }
    for pair in report["pairs"]:
        for env, score in pair["scores"].items():
            figures = {"before": score["before"], "after": score["after"], "unseen tasks": score["n"]}
            rows[f"{env}: {pair['label']}"] = figures
    general = report.get("general")
    if general:
        rows["general loss (nats)"] = {"before": general["before_nll"], "after": general["after_nll"]}
    return rows


def _typed() -> str:
    """How this program was called, so that what it proposes works when typed: it may not be on the PATH."""
    program = Path(sys.argv[0])
    if program.name != "agentray":
        return f"{shlex.quote(sys.executable)} -m agentray"
    return "agentray" if shutil.which("agentray") == str(program) else shlex.quote(str(program))
