"""The report page's sections on how the results came about: training, data, cost, and how to repeat it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from agentray.config import RolloutConfig
from agentray.report import charts
from agentray.report.markup import (
    clean,
    count,
    duration,
    fold,
    mapping,
    note,
    number,
    percent,
    sequence,
    table,
)
from agentray.report.results import cell

_COSTS = {
    "attempts": "Attempts",
    "scored": "Scored",
    "truncated": "Cut short",
    "failed": "Failed in the machinery",
    "turns": "Turns",
    "prompt_tokens": "Tokens read",
    "completion_tokens": "Tokens written",
}


def training(measured: Mapping[str, Any]) -> str:
    """Loss by source over the steps."""
    steps = sequence(measured.get("steps"))
    sources = mapping(measured.get("loss_by_source")) or {"all sources": measured.get("loss")}
    lines = {}
    window = max(1, len(steps) // 25)
    for name, losses in sources.items():
        pairs = zip(steps, sequence(losses), strict=False)
        points = [(number(x), number(y)) for x, y in pairs]
        known = [(x, y) for x, y in points if x is not None and y is not None]
        if known:
            lines[name] = charts.smooth(known, window)
    if not lines:
        return ""
    smoothing = f", as a running mean over {window} steps" if window > 1 else ""
    label = "Training loss by source: " + "; ".join(
        f"{name} from {line[0][1]:.2f} to {line[-1][1]:.2f}" for name, line in lines.items()
    )
    text = f"Training loss in nats per token, by the source a sample came from{smoothing}."
    return f"{charts.line_chart(lines, label)}{note(text)}"


def data(counts: Mapping[str, Any]) -> str:
    """What the filter kept, and the mixture made of it."""
    rejected = {name: number(value) for name, value in mapping(counts.get("rejected")).items()}
    parts = [("kept", number(counts.get("kept"))), *rejected.items()]
    read = number(counts.get("read"))
    rows = [
        charts.BarRow(
            name.replace("_", " "),
            value,
            count(value),
            note="rejected" if index else "",
            muted=index > 0,
        )
        for index, (name, value) in enumerate(parts)
        if value is not None
    ]
    bars = charts.bar_rows(rows)
    text = note(f"{count(read)} trajectories read, by what the filter decided.") if read is not None else ""
    realised = mapping(counts.get("realised"))
    eta = number(counts.get("eta"))
    mix = [] if eta is None else [f"η = {eta:g} asked for"]
    mix += [f"{name.replace('_', ' ')} {cell(value)}" for name, value in realised.items()]
    mixture = f'<p class="mix">Mixture: {clean("; ".join(mix))}.</p>' if mix else ""
    return f"{bars}{text}{mixture}" if rows else mixture


def cost(report: Mapping[str, Any]) -> str:
    """What each run took, and where the time went."""
    return _runs([mapping(run) for run in sequence(report.get("runs"))]) + _time(report)


def _runs(runs: list[Mapping[str, Any]]) -> str:
    if not runs:
        return ""
    rows = [[label, *(cell(run.get(name)) for run in runs)] for name, label in _COSTS.items()]
    for name, label in (("attempt_s", "Time per attempt (median)"), ("wall_s", "Time in all")):
        times = [number(run.get(name)) for run in runs]
        rows.append([label, *("" if each is None else clean(duration(each)) for each in times)])
    rows = [row for row in rows if any(row[1:])]
    policies = [clean(", ".join(map(str, sequence(run.get("policies"))))) for run in runs]
    return table(["", *(str(run.get("name", "")) for run in runs)], [["Policy", *policies], *rows])


def _time(report: Mapping[str, Any]) -> str:
    rows = []
    for stage in sequence(report.get("stages")):
        wall_s = number(mapping(stage).get("wall_s"))
        if wall_s is None:
            continue
        counts = mapping(mapping(stage).get("counts"))
        flat = [(name, number(value)) for name, value in counts.items()]
        shown = " · ".join(f"{name.replace('_', ' ')} {count(v)}" for name, v in flat if v is not None)
        rows.append(
            charts.BarRow(str(mapping(stage).get("name", "unnamed")), wall_s, duration(wall_s), shown)
        )
    if not rows:
        return ""
    total = number(report.get("wall_s"))
    staged = sum(row.value for row in rows)
    text = f"{duration(staged)} in {len(rows)} stages"
    text += f", of {duration(total)} in all." if total is not None else "."
    return f"{charts.bar_rows(rows)}{note(text + _cut(mapping(report.get('pace'))))}"


def _cut(pace: Mapping[str, Any]) -> str:
    """Which sizes a budget cut."""
    minutes, cut = number(pace.get("minutes")), mapping(pace.get("cut"))
    parts = [
        f"{name} {cell(mapping(size).get('taken'))} instead of {cell(mapping(size).get('full'))}"
        for name, size in cut.items()
    ]
    return f" Cut to fit {minutes:g} minutes: {', '.join(parts)}." if parts and minutes else ""


def sweep(found: Mapping[str, Any]) -> str:
    """The trials of a sweep over η."""
    trials = [mapping(trial) for trial in sequence(found.get("trials"))]
    if not trials:
        return ""
    envs = list(dict.fromkeys(env for trial in trials for env in mapping(trial.get("scores"))))
    best = number(found.get("recommended_eta"))
    rows = []
    for trial in trials:
        eta = number(trial.get("eta"))
        label = "" if eta is None else f"{eta:g}"
        if eta is not None and eta == best:
            label += ' <span class="tag">recommended</span>'
        scores = [number(mapping(trial.get("scores")).get(env)) for env in envs]
        shown = ["" if score is None else percent(score) for score in scores]
        losses = [number(trial.get(f"general_{when}")) for when in ("before", "after")]
        rows.append([label, *shown, *("" if loss is None else f"{loss:.3f}" for loss in losses)])
    lines = _sweep_lines(trials, envs)
    label = "Score by η: " + "; ".join(
        f"{name} from {line[0][1]:.2f} to {line[-1][1]:.2f}" for name, line in lines.items()
    )
    chart = (
        charts.line_chart(lines, label, x_name="η") if any(len(line) > 1 for line in lines.values()) else ""
    )
    head = ["η", *envs, "general loss before", "after"]
    text = "A model trained and scored for each share η of agent samples; the loss is in nats per token."
    return chart + table(head, rows) + note(text)


def _sweep_lines(trials: list[Mapping[str, Any]], envs: list[str]) -> dict[str, list[charts.Point]]:
    lines: dict[str, list[charts.Point]] = {}
    for env in envs:
        for trial in trials:
            eta, score = number(trial.get("eta")), number(mapping(trial.get("scores")).get(env))
            if eta is not None and score is not None:
                lines.setdefault(env, []).append((eta, score))
    return lines


def reproduce(report: Mapping[str, Any]) -> str:
    """Commands, versions, and the numbers themselves."""
    serve = report.get("serve_command")
    parts = [f"<p>Serve this model:</p><pre>{clean(serve)}</pre>"] if serve else []
    commands = "\n".join(filter(None, (_command(mapping(run)) for run in sequence(report.get("runs")))))
    if commands:
        parts.append(f"<p>Repeat the runs:</p><pre>{clean(commands)}</pre>")
    rows = [("commit", report.get("commit")), ("created", report.get("created"))]
    rows += [(name, version) for name, version in mapping(report.get("versions")).items()]
    parts.append(table([], [[clean(name), clean(value)] for name, value in rows if value], "plain"))
    document = json.dumps(report, indent=1, ensure_ascii=False, default=str)
    raw = f'<pre class="raw" tabindex="0" role="region" aria-label="report.json">{clean(document)}</pre>'
    return "".join([*parts, fold("report.json, all numbers of this page", raw)])


def _command(run: Mapping[str, Any]) -> str:
    """The command that makes a run again: every setting that is not the default."""
    given = dict(mapping(run.get("config")))
    if run.get("stage") != "rollout" or not given:
        return ""
    default = RolloutConfig(envs=["any"], out="any").model_dump(mode="json")
    changed = {name: value for name, value in given.items() if value != default.get(name)}
    named = [part for env in sequence(changed.pop("envs", [])) for part in ("--env", str(env))]
    named += ["--out", str(changed.pop("out", ""))]
    settings = {"rollout": changed, "env": mapping(changed.pop("env", {}))}
    sets = [part for line in _lines(settings, {"rollout": default}) for part in ("--set", line)]
    return shlex.join(["agentray", "rollout", *named, *sets])


def _lines(settings: Mapping[str, Any], default: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """`table.key=value` for each setting that is not the default, in TOML."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _lines(value, mapping(default.get(name)), f"{path}{name}.")
        elif value is not None and value != default.get(name):
            yield f"{path}{name}={json.dumps(value, ensure_ascii=False)}"
