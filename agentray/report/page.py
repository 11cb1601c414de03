"""One self-contained HTML page from a report and the trajectories behind it.

The page needs no network and no other file. Its one script and its one style sheet are named by hash in its
content security policy, nothing else may run, and the script writes text only. A part missing from the report
is missing from the page.

    agentray report runs/base runs/tuned --out runs/report
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup

from agentray.evaluate.compare import Comparison
from agentray.report.archive import Archive
from agentray.report.charts import LineChart, line_chart
from agentray.report.commands import command
from agentray.report.markup import render
from agentray.report.records import Report, Single
from agentray.report.text import duration, percent, setting, size, thousands, words

_STYLES = ("page.css", "browser.css")
_SCRIPTS = ("archive.js", "filter.js", "list.js", "text.js", "detail.js", "app.js")
_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_SECTIONS = {
    "scores": "Scores",
    "overall": "Overall",
    "pairs": "Further evaluations",
    "general": "General ability",
    "errors": "Errors",
    "sweep": "Sweep",
    "training": "Training",
    "data": "Data",
    "cost": "Cost and time",
    "trajectories": "Trajectories",
    "reproduce": "Reproduce",
}
"""Title of each section, in order; its template is `sections/NAME.html`."""


def write_page(report: Report, archive: Archive | None, path: Path) -> None:
    """Write the page.

    Args:
        report: What it says; any part may be absent.
        archive: The trajectories to browse; None for a page without them.
        path: HTML file to write; its directory exists.
    """
    style = "".join(map(_asset, _STYLES))
    script = "".join(map(_asset, _SCRIPTS)) if archive else ""
    page = render(
        "page.html",
        report=report,
        policy=_POLICY.format(script=_hash(script) if archive else "'none'", style=_hash(style)),
        style=style,
        script=script,
        headline=_headline(report),
        facts=_facts(report),
        sections=_sections(report, archive),
        blocks=archive.blocks() if archive else {},
    )
    path.write_text(page, encoding="utf-8")


def _sections(report: Report, archive: Archive | None) -> list[tuple[str, str, Markup]]:
    """Name, title and content of the sections that have any."""
    values = {
        "report": report,
        "archive": archive,
        "charts": {"training": _training(report), "sweep": _sweep(report)},
        "commands": [line for line in map(command, report.runs) if line],
        "document": json.dumps(report.document(), indent=1, ensure_ascii=False, default=str),
    }
    # What a template rendered is escaped already.
    bodies = {name: Markup(render(f"sections/{name}.html", **values)) for name in _SECTIONS}
    return [(name, _SECTIONS[name], body) for name, body in bodies.items() if body.strip()]


def _asset(name: str) -> str:
    return files("agentray.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Source expression of an inline script or style sheet in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _headline(report: Report) -> str:
    """The result in one sentence."""
    rows = report.scores.items()
    if not rows:
        return "This run has no scores"
    moves = [(env, row.before, row.after) for env, row in rows if isinstance(row, Comparison)]
    if not moves:
        shown = [f"{percent(row.score)} on {env}" for env, row in rows if isinstance(row, Single)]
        return words(shown) if len(shown) <= 3 else f"One policy in {len(shown)} environments"
    if len(moves) <= 3:
        sentence = words(
            [
                f"from {percent(before)} to {percent(after)} on {env}"
                if before != after
                else f"unchanged at {percent(after)} on {env}"
                for env, before, after in moves
            ]
        )
        return sentence[0].upper() + sentence[1:]
    env, before, after = max(moves, key=lambda move: abs(move[2] - move[1]))
    better = sum(after > before for _, before, after in moves)
    return (
        f"Better on {better} of {len(moves)} environments; "
        f"{env} moved most, from {percent(before)} to {percent(after)}"
    )


def _facts(report: Report) -> list[tuple[str, str]]:
    """Figures below the headline."""
    recipe, training, data = report.recipe, report.training, report.data
    facts = [
        ("Total time", duration(recipe.wall_s) if recipe.wall_s else None),
        ("Attempts", thousands(sum(run.attempts for run in report.runs)) if report.runs else None),
        ("Turns", thousands(sum(run.turns for run in report.runs)) if report.runs else None),
        ("Training speed", f"{thousands(round(training.tokens_per_s))} tokens/s" if training else None),
        ("Trajectories kept", thousands(data.kept) if data else None),
        ("Agent share η", thousands(data.eta) if data and data.eta is not None else None),
        ("Peak memory", size(recipe.peak_memory_bytes) if recipe.peak_memory_bytes else None),
    ]
    return [(name, value) for name, value in facts if value is not None]


def _training(report: Report) -> LineChart | None:
    """Loss by source over the steps, smoothed where there are many."""
    if report.training is None:
        return None
    steps = report.training.steps
    losses = report.training.loss_by_source or {"all sources": report.training.loss}
    series = {name: list(zip(steps, values, strict=False)) for name, values in losses.items()}
    return line_chart(series, "step", window=max(1, len(steps) // 25))


def _sweep(report: Report) -> LineChart | None:
    """Score by the setting that varies; None where it is not one number."""
    name = report.sweep.varied if report.sweep else None
    if report.sweep is None or name is None:
        return None
    trials = sorted(report.sweep.trials, key=lambda trial: float(trial.settings[name]))
    envs = dict.fromkeys(env for trial in trials for env in trial.scores)
    series = {env: [(each.settings[name], each.scores.get(env)) for each in trials] for env in envs}
    return line_chart(series, setting(name))
