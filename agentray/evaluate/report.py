"""One self-contained HTML page from `report.json`: what the run achieved, and how to check it.

The page needs no network, no script and no other file, and follows the reader's light or dark scheme. A part
missing from the report is missing from the page.

    agentray report --run runs/quickstart
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from agentray.evaluate import charts, transcript
from agentray.evaluate.markup import clean, count, duration, mapping, number, p_value, percent, size, words
from agentray.evaluate.transcript import Example

__all__ = ["Example", "write_page"]

_FAMILIES = {"held_in": "held-in", "held_out": "held-out"}


def write_page(report: Mapping[str, Any], examples: Sequence[Example], path: Path) -> None:
    """Write the page of one run.

    Args:
        report: Content of `report.json`; any part may be absent.
        examples: Trajectories to show, usually one won and one lost per environment.
        path: HTML file to write; its directory exists.
    """
    sections = [
        ("scores", "Scores", _scores(mapping(report.get("scores")))),
        ("realism", "Real benchmark records", _benchmark(mapping(report.get("agentbench_dev")))),
        ("general", "General ability", _general(mapping(report.get("general")))),
        ("training", "Training", _training(mapping(report.get("training")))),
        ("data", "Data", _data(mapping(report.get("data")))),
        ("time", "Where the time went", _time(report)),
        ("trajectories", "Trajectories", transcript.pairs(examples)),
        ("reproduce", "Reproduce", _reproduce(report)),
    ]
    shown = [(anchor, title, body) for anchor, title, body in sections if body]
    template = files("agentray.evaluate").joinpath("page.html").read_text(encoding="utf-8")
    page = Template(template).substitute(
        headline=clean(_headline(mapping(report.get("scores")))),
        lede=clean(_lede(report)),
        facts=_facts(report),
        nav="".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title, _ in shown),
        sections="".join(
            f'<section id="{anchor}" aria-labelledby="{anchor}-title">'
            f'<h2 id="{anchor}-title">{title}</h2>{body}</section>'
            for anchor, title, body in shown
        ),
    )
    path.write_text(page, encoding="utf-8")


def _headline(scores: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    moves = []
    for env, score in scores.items():
        before, after = number(mapping(score).get("before")), number(mapping(score).get("after"))
        if before is not None and after is not None:
            moves.append((env, before, after))
    if not moves:
        return "This run has not been scored before and after training"
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
    env, before, after = max(moves, key=lambda move: move[2] - move[1])
    better = sum(after > before for _, before, after in moves)
    return (
        f"Better on {better} of {len(moves)} environments; "
        f"{env} moved most, from {percent(before)} to {percent(after)}"
    )


def _lede(report: Mapping[str, Any]) -> str:
    data, general = mapping(report.get("data")), mapping(report.get("general"))
    kept, read = number(data.get("kept")), number(data.get("read"))
    sentences = []
    if kept is not None and read is not None:
        sentences.append(
            f"One model, before and after fine-tuning on the {count(kept)} of {count(read)} "
            "trajectories that passed the filter."
        )
    if mapping(report.get("scores")):
        sentences.append("Both played the same test tasks.")
    change = _nll_change(general)
    if change is not None:
        direction = "rose" if change > 0 else "fell" if change < 0 else "changed"
        sentences.append(f"Its loss on general conversations {direction} by {abs(change):.1%}.")
    return " ".join(sentences)


def _facts(report: Mapping[str, Any]) -> str:
    data, training = mapping(report.get("data")), mapping(report.get("training"))
    candidates = [
        ("Total time", number(report.get("wall_s")), duration),
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


def _scores(scores: Mapping[str, Any]) -> str:
    rows = [_score_row(env, mapping(score)) for env, score in scores.items()]
    if not rows:
        return ""
    families = {mapping(score).get("family") for score in scores.values()}
    notes = ["Mean score on test tasks."]
    if any(row.after and row.after.interval for row in rows):
        notes.append("Bars are 95% intervals; the range at the right is the one after training.")
    if any(number(mapping(score).get("p_value")) is not None for score in scores.values()):
        notes.append("p-values compare the two models task by task.")
    if "held_in" in families:
        notes.append("Held-in: new tasks of a kind the model was trained on (in-distribution).")
    if "held_out" in families:
        notes.append("Held-out: a kind of task it was not trained on.")
    extra = "".join(
        _before_after(f"More on {env}", mapping(mapping(score).get("extra"))) for env, score in scores.items()
    )
    return f"{_BEFORE_AFTER_KEY}{charts.dot_rows(rows)}{_note(' '.join(notes))}{extra}"


def _score_row(env: str, score: Mapping[str, Any]) -> charts.DotRow:
    num_tasks, p = number(score.get("n")), number(score.get("p_value"))
    family = _FAMILIES.get(str(score.get("family")), "")
    settings = [f"{value} {name}" for name, value in mapping(score.get("settings")).items()]
    note = [*settings, family, f"n = {count(num_tasks)}" if num_tasks is not None else ""]
    before, after = _dot(score, "before"), _dot(score, "after")
    return charts.DotRow(
        label=env,
        note=" · ".join(part for part in note if part),
        before=before,
        after=after,
        text=_change(before, after),
        detail=", ".join(part for part in (_interval(after), p_value(p) if p is not None else "") if part),
    )


def _dot(score: Mapping[str, Any], when: str) -> charts.Dot | None:
    value = number(score.get(when))
    if value is None:
        return None
    bounds = score.get(f"{when}_interval")
    if not isinstance(bounds, Sequence) or len(bounds) != 2:
        return charts.Dot(value)
    low, high = number(bounds[0]), number(bounds[1])
    return charts.Dot(value, (low, high) if low is not None and high is not None else None)


def _interval(dot: charts.Dot | None) -> str:
    return f"{percent(dot.interval[0])} to {percent(dot.interval[1])}" if dot and dot.interval else ""


def _change(before: charts.Dot | None, after: charts.Dot | None) -> str:
    shown = [percent(dot.value) if dot else "not scored" for dot in (before, after)]
    return " → ".join(shown)


def _before_after(title: str, extra: Mapping[str, Any]) -> str:
    """Table of further measures, folded."""
    before, after = mapping(extra.get("before")), mapping(extra.get("after"))
    names = dict.fromkeys([*before, *after])
    if not names:
        return ""
    body = "".join(
        f'<tr><th scope="row">{clean(name.replace("_", " "))}</th>'
        f"<td>{_cell(before.get(name))}</td><td>{_cell(after.get(name))}</td></tr>"
        for name in names
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Measure", "Before", "After"))
    return (
        f'<details class="fold"><summary>{clean(title)}</summary>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
    )


def _cell(value: object) -> str:
    known = number(value)
    return count(known) if known is not None else "" if value is None else clean(value)


def _benchmark(scores: Mapping[str, Any]) -> str:
    """Scores on AgentBench's own database records."""
    rows = []
    for name, score in scores.items():
        before, after = _dot(mapping(score), "before"), _dot(mapping(score), "after")
        if before or after:
            label = name.replace("overall_cat_accuracy", "mean over categories").replace("_", " ")
            rows.append(charts.DotRow(label, "", before, after, _change(before, after)))
    if not rows:
        return ""
    num_records = number(scores.get("n"))
    which = f"{count(num_records)} development records" if num_records is not None else "development records"
    note = f"AgentBench's own {which} for the database task, by category."
    return f"{_BEFORE_AFTER_KEY}{charts.dot_rows(rows)}{_note(note)}"


def _nll_change(general: Mapping[str, Any]) -> float | None:
    before, after = number(general.get("before_nll")), number(general.get("after_nll"))
    return (after - before) / before if before and after is not None else None


def _general(general: Mapping[str, Any]) -> str:
    values = {name: number(general.get(f"{name}_nll")) for name in ("before", "after")}
    rows = [
        charts.BarRow(name.capitalize(), value, f"{value:.3f}", muted=name == "before")
        for name, value in values.items()
        if value is not None
    ]
    if not rows:
        return ""
    change = _nll_change(general)
    verdict = ""
    if change is not None:
        meaning = "worse" if change > 0 else "better" if change < 0 else "no change"
        verdict = f'<p class="figure">{change:+.1%} <small>{meaning}; lower is better</small></p>'
    note = "Mean negative log-likelihood per token, in nats, of general conversations kept out of training."
    return f"{verdict}{charts.bar_rows(rows)}{_note(note)}"


def _training(training: Mapping[str, Any]) -> str:
    steps = training.get("steps")
    if not isinstance(steps, Sequence):
        return ""
    sources = mapping(training.get("loss_by_source")) or {"all sources": training.get("loss")}
    lines = {}
    window = max(1, len(steps) // 25)
    for name, losses in sources.items():
        pairs = zip(steps, losses if isinstance(losses, Sequence) else [], strict=False)
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
    note = f"Training loss in nats per token, by the source a sample came from{smoothing}."
    return f"{charts.line_chart(lines, label)}{_note(note)}"


def _data(data: Mapping[str, Any]) -> str:
    rejected = {name: number(value) for name, value in mapping(data.get("rejected")).items()}
    counts = [("kept", number(data.get("kept"))), *((n, v) for n, v in rejected.items())]
    read = number(data.get("read"))
    rows = [
        charts.BarRow(
            name.replace("_", " "),
            value,
            count(value),
            note="rejected" if index else "",
            muted=index > 0,
        )
        for index, (name, value) in enumerate(counts)
        if value is not None
    ]
    bars = charts.bar_rows(rows)
    note = _note(f"{count(read)} trajectories read, by what the filter decided.") if read is not None else ""
    realised = mapping(data.get("realised"))
    eta = number(data.get("eta"))
    mix = [] if eta is None else [f"η = {eta:g} asked for"]
    mix += [f"{name.replace('_', ' ')} {_cell(value)}" for name, value in realised.items()]
    mixture = f'<p class="mix">Mixture: {clean("; ".join(mix))}.</p>' if mix else ""
    return f"{bars}{note}{mixture}" if rows else mixture


def _time(report: Mapping[str, Any]) -> str:
    rows = []
    stages = report.get("stages")
    for stage in stages if isinstance(stages, Sequence) else ():
        wall_s = number(mapping(stage).get("wall_s"))
        if wall_s is None:
            continue
        counts = mapping(mapping(stage).get("counts"))
        flat = [(name, number(value)) for name, value in counts.items()]
        note = " · ".join(f"{name.replace('_', ' ')} {count(v)}" for name, v in flat if v is not None)
        rows.append(charts.BarRow(str(mapping(stage).get("name", "unnamed")), wall_s, duration(wall_s), note))
    if not rows:
        return ""
    total = number(report.get("wall_s"))
    staged = sum(row.value for row in rows)
    text = f"{duration(staged)} in {len(rows)} stages"
    text += f", of {duration(total)} in all." if total is not None else "."
    return f"{charts.bar_rows(rows)}{_note(text)}"


def _reproduce(report: Mapping[str, Any]) -> str:
    rows = [("Commit", report.get("commit"))]
    rows += [(name, version) for name, version in mapping(report.get("versions")).items()]
    table = "".join(
        f'<tr><th scope="row">{clean(name)}</th><td>{clean(value)}</td></tr>' for name, value in rows if value
    )
    serve = report.get("serve_command")
    command = f"<p>Serve this model:</p><pre>{clean(serve)}</pre>" if serve else ""
    versions = f"<table><tbody>{table}</tbody></table>" if table else ""
    document = json.dumps(report, indent=1, ensure_ascii=False, default=str)
    raw = (
        f'<details class="fold"><summary>report.json, all numbers of this page</summary>'
        f'<pre class="raw" tabindex="0" role="region" aria-label="report.json">{clean(document)}</pre>'
        f"</details>"
    )
    return f"{command}{versions}{raw}"


def _note(text: str) -> str:
    return f'<p class="note">{clean(text)}</p>'


_BEFORE_AFTER_KEY = (
    '<ul class="legend" aria-hidden="true">'
    '<li><svg width="14" height="14"><circle class="dot before" cx="7" cy="7" r="5.5"/></svg> before</li>'
    '<li><svg width="14" height="14"><circle class="dot after" cx="7" cy="7" r="5.5"/></svg> after</li></ul>'
)
