"""The report page's sections on what else a model can do: real records, general suites, general loss.

Each function takes `report.json` or a part of it and returns HTML, empty where that part is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentray.report import charts
from agentray.report.markup import clean, count, mapping, note, number, sequence, table
from agentray.report.results import change, dot, key


def benchmark(measured: Mapping[str, Any]) -> str:
    """Scores on AgentBench's own database records."""
    rows = []
    for name, score in measured.items():
        before, after = dot(mapping(score), "before"), dot(mapping(score), "after")
        if before or after:
            label = name.replace("overall_cat_accuracy", "mean over categories").replace("_", " ")
            rows.append(charts.DotRow(label, "", before, after, change(before, after)))
    if not rows:
        return ""
    num_records = number(measured.get("n"))
    which = f"{count(num_records)} development records" if num_records is not None else "development records"
    text = f"AgentBench's own {which} for the database task, by category."
    return f"{key('before', 'after')}{charts.dot_rows(rows)}{note(text)}"


def nll_change(general: Mapping[str, Any]) -> float | None:
    """Relative change of the loss on general conversations."""
    before, after = number(general.get("before_nll")), number(general.get("after_nll"))
    return (after - before) / before if before and after is not None else None


def general(report: Mapping[str, Any]) -> str:
    """General suites, and the loss on general conversations."""
    return _suites(report) + _loss(mapping(report.get("general")))


def _loss(measured: Mapping[str, Any]) -> str:
    values = {name: number(measured.get(f"{name}_nll")) for name in ("before", "after")}
    rows = [
        charts.BarRow(name.capitalize(), value, f"{value:.3f}", muted=name == "before")
        for name, value in values.items()
        if value is not None
    ]
    if not rows:
        return ""
    moved = nll_change(measured)
    verdict = ""
    if moved is not None:
        meaning = "worse" if moved > 0 else "better" if moved < 0 else "no change"
        verdict = f'<p class="figure">{moved:+.1%} <small>{meaning}; lower is better</small></p>'
    text = "Mean negative log-likelihood per token, in nats, of general conversations kept out of training."
    return f"{verdict}{charts.bar_rows(rows)}{note(text)}"


def _suites(report: Mapping[str, Any]) -> str:
    """One column per suite result, one row per task on its own scale; stand-ins say that they are."""
    suites = [mapping(each) for each in sequence(report.get("suites"))]
    tasks = dict.fromkeys(name for suite in suites for name in mapping(suite.get("tasks")))
    if not tasks:
        return ""
    rows, stand_ins = [], False
    for name in tasks:
        entries = [mapping(mapping(suite.get("tasks")).get(name)) for suite in suites]
        stand_in = any(entry.get("stand_in") is True for entry in entries)
        stand_ins |= stand_in
        label = clean(name) + (' <span class="tag">stand-in</span>' if stand_in else "")
        scale = next((str(entry["scale"]) for entry in entries if "scale" in entry), "")
        rows.append([label, *map(_suite_cell, entries), clean(scale), _asked(entries)])
    text = "Scores on each benchmark's own scale, with 95% intervals."
    if stand_ins:
        text += (
            " A stand-in is not the benchmark itself but questions in its form: it says whether ability was "
            "kept, and cannot be set beside published scores."
        )
    head = [str(suite.get("policy", suite.get("suite", "suite"))) for suite in suites]
    return table(["", *head, "scale", "n"], rows) + note(text)


def _suite_cell(entry: Mapping[str, Any]) -> str:
    score = number(entry.get("score"))
    if score is None:
        return f'<span title="{clean(entry["skipped"])}">skipped</span>' if entry.get("skipped") else ""
    bounds = [number(bound) for bound in sequence(entry.get("interval"))]
    low_high = " to ".join(f"{bound:.3g}" for bound in bounds if bound is not None)
    return f'{score:.3g} <small class="range">{low_high}</small>' if low_high else f"{score:.3g}"


def _asked(entries: list[Mapping[str, Any]]) -> str:
    asked = {number(entry.get("n")) for entry in entries if entry}
    return ", ".join(count(n) for n in sorted(n for n in asked if n is not None))
