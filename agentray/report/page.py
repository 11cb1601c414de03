"""One self-contained HTML page from `report.json` and the trajectories behind it.

The page needs no network and no other file. Its one script and its one style sheet are named by hash in its
content security policy, nothing else may run, and the script writes text only. A part missing from the report
is missing from the page.

    agentray report runs/base runs/tuned --out runs/report
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from agentray.report import ability, provenance, results
from agentray.report.archive import Archive
from agentray.report.markup import clean, count, duration, mapping, number, sequence, size

_STYLES = ("page.css", "browser.css")
_SCRIPTS = ("archive.js", "filter.js", "list.js", "text.js", "detail.js", "app.js")
_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def write_page(report: Mapping[str, Any], archive: Archive | None, path: Path) -> None:
    """Write the page.

    Args:
        report: Content of `report.json`; any part may be absent.
        archive: The trajectories to browse; None leaves the browser out.
        path: HTML file to write; its directory exists.
    """
    sections = [
        ("scores", "Scores", results.scores(report)),
        ("overall", "Overall", results.overall(mapping(report.get("overall")))),
        ("realism", "Real benchmark records", ability.benchmark(mapping(report.get("agentbench_dev")))),
        ("general", "General ability", ability.general(report)),
        ("errors", "Errors", results.errors(report)),
        ("sweep", "Sweep over η", provenance.sweep(mapping(report.get("sweep")))),
        ("training", "Training", provenance.training(mapping(report.get("training")))),
        ("data", "Data", provenance.data(mapping(report.get("data")))),
        ("cost", "Cost and time", provenance.cost(report)),
        ("trajectories", "Trajectories", _read("browser.html") if archive else ""),
        ("reproduce", "Reproduce", provenance.reproduce(report)),
    ]
    shown = [(anchor, title, body) for anchor, title, body in sections if body]
    style = "".join(map(_read, _STYLES))
    script = "".join(map(_read, _SCRIPTS)) if archive else ""
    page = Template(_read("page.html")).substitute(
        policy=_POLICY.format(script=_hash(script) if archive else "'none'", style=_hash(style)),
        style=style,
        headline=clean(results.headline(mapping(report.get("scores")))),
        lede=clean(_lede(report)),
        facts=_facts(report),
        nav="".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title, _ in shown),
        sections="".join(
            f'<section id="{anchor}" aria-labelledby="{anchor}-title">'
            f'<h2 id="{anchor}-title">{title}</h2>{body}</section>'
            for anchor, title, body in shown
        ),
        blocks=_blocks(archive) if archive else "",
        script=f'<script type="module">{script}</script>' if archive else "",
    )
    path.write_text(page, encoding="utf-8")


def _read(name: str) -> str:
    return files("agentray.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Source expression of an inline script or style sheet in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _blocks(archive: Archive) -> str:
    """The trajectories: base64, in script elements that are data to a browser and never run."""
    blocks = {"index": archive.index, "texts": archive.texts}
    blocks |= {f"chunk-{place}": chunk for place, chunk in enumerate(archive.chunks)}
    return "".join(
        f'<script type="application/octet-stream" id="block-{name}">{block}</script>\n'
        for name, block in blocks.items()
    )


def _lede(report: Mapping[str, Any]) -> str:
    data, runs = mapping(report.get("data")), results.run_names(report)
    kept, read = number(data.get("kept")), number(data.get("read"))
    sentences = []
    if kept is not None and read is not None:
        sentences.append(
            f"One model, before and after fine-tuning on the {count(kept)} of {count(read)} "
            "trajectories that passed the filter."
        )
    if mapping(report.get("scores")) and len(runs) != 1:
        sentences.append(f"{'Both' if len(runs) < 3 else 'All'} are scored on the same tasks.")
    if len(runs) == 1:
        run = mapping(sequence(report.get("runs"))[0])
        acting = ", ".join(map(str, sequence(run.get("policies"))))
        sentences.append(f"{count(number(run.get('attempts')) or 0)} attempts by {acting}.")
    change = ability.nll_change(mapping(report.get("general")))
    if change is not None:
        direction = "rose" if change > 0 else "fell" if change < 0 else "changed"
        sentences.append(f"Its loss on general conversations {direction} by {abs(change):.1%}.")
    return " ".join(sentences)


def _facts(report: Mapping[str, Any]) -> str:
    data, training = mapping(report.get("data")), mapping(report.get("training"))
    candidates = [
        ("Total time", number(report.get("wall_s")), duration),
        ("Attempts", _total(report, "attempts"), count),
        ("Turns", _total(report, "turns"), count),
        ("Training speed", number(training.get("tokens_per_s")), lambda v: f"{count(round(v))} tokens/s"),
        ("Trajectories kept", number(data.get("kept")), count),
        ("Agent share η", number(data.get("eta")), count),
        ("Peak memory", number(report.get("peak_memory_bytes")), size),
    ]
    return "".join(
        f"<div><dt>{name}</dt><dd>{clean(show(value))}</dd></div>"
        for name, value, show in candidates
        if value is not None
    )


def _total(report: Mapping[str, Any], name: str) -> float | None:
    """Sum over the runs; None when no run tells."""
    known = [number(mapping(run).get(name)) for run in sequence(report.get("runs"))]
    return (
        sum(each for each in known if each is not None) if any(each is not None for each in known) else None
    )
