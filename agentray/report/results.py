"""The report page's sections on what came out: scores and their uncertainty, general ability, errors.

Each function takes `report.json` or a part of it and returns HTML, empty where that part is missing; whatever
a model or a user named passes through `clean`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from agentray.report import charts
from agentray.report.markup import (
    clean,
    count,
    fold,
    mapping,
    note,
    number,
    p_value,
    percent,
    sequence,
    table,
    words,
)

_FAMILIES = {"held_in": "held-in", "held_out": "held-out"}


def headline(scores: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    moves = []
    for env, score in scores.items():
        before, after = number(mapping(score).get("before")), number(mapping(score).get("after"))
        if before is not None and after is not None:
            moves.append((env, before, after))
    if not moves:
        return _headline_alone(scores)
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


def _headline_alone(scores: Mapping[str, Any]) -> str:
    known = [(env, number(mapping(score).get("score"))) for env, score in scores.items()]
    shown = [f"{percent(value)} on {env}" for env, value in known if value is not None]
    if not shown:
        return "This run has no scores"
    return words(shown) if len(shown) <= 3 else f"One policy in {len(shown)} environments"


def scores(report: Mapping[str, Any]) -> str:
    """Scores with intervals and tests: of one run, or of the base beside each other run."""
    names = run_names(report)
    before, after = [*names, "before", "after"][:2] if len(names) > 1 else ("before", "after")
    parts = [_comparison(mapping(report.get("scores")), before, after)]
    for name, further in mapping(report.get("further")).items():
        shown = _comparison(mapping(further), before, name)
        parts.append(f"<h3>{clean(before)} and {clean(name)}</h3>{shown}" if shown else "")
    if not any(parts):
        return ""
    left_out = "".join(
        _left_out(mapping(counts), before, name) for name, counts in mapping(report.get("left_out")).items()
    )
    return "".join(parts) + left_out + _families(mapping(report.get("scores")))


def run_names(report: Mapping[str, Any]) -> list[str]:
    """Names of the runs, the base first."""
    return [str(mapping(run).get("name")) for run in sequence(report.get("runs"))]


def _comparison(rows: Mapping[str, Any], before: str, after: str) -> str:
    dots = [_score_row(env, mapping(row)) for env, row in rows.items()]
    if not dots:
        return ""
    alone = any("score" in mapping(row) for row in rows.values())
    head = ["", "score"] if alone else ["", before, after]
    figures = table(
        [*head, "n"] if alone else [*head, "difference", "p", "detectable", "n"],
        [_figures(env, mapping(row), alone=alone) for env, row in rows.items()],
    )
    extra = "".join(
        _extra(f"More on {env}", mapping(mapping(row).get("extra")), (before, after))
        for env, row in rows.items()
    )
    return f"{'' if alone else key(before, after)}{charts.dot_rows(dots)}{figures}{extra}"


def _score_row(env: str, score: Mapping[str, Any]) -> charts.DotRow:
    settings = [f"{value} {name}" for name, value in mapping(score.get("settings")).items()]
    before, after = dot(score, "before"), dot(score, "after") or dot(score, "score")
    p = number(score.get("p_value"))
    return charts.DotRow(
        label=env,
        note=" · ".join([*settings, _FAMILIES.get(str(score.get("family")), "")]).strip(" ·"),
        before=before,
        after=after,
        text=change(before, after) if "score" not in score else percent(after.value) if after else "",
        detail=p_value(p) if p is not None else "",
    )


def _figures(env: str, score: Mapping[str, Any], *, alone: bool) -> list[str]:
    """Cells of the table below the chart."""
    values = ["score"] if alone else ["before", "after"]
    cells = [_with_interval(dot(score, name)) for name in values]
    p, detectable, n = (number(score.get(name)) for name in ("p_value", "detectable", "n"))
    if not alone:
        test = clean(score.get("test", ""))
        cells.append(_difference(score))
        cells.append("" if p is None else f'<span title="{test}">{clean(p_value(p)[2:].lstrip("= "))}</span>')
        cells.append("" if detectable is None else f"{100 * detectable:.0f} points")
    link = f'<a href="{trajectories_link(env=env)}">{clean(env)}</a>'
    return [link, *cells, "" if n is None else count(n) + _of_tasks(n, number(score.get("tasks")))]


def _of_tasks(n: float, num_tasks: float | None) -> str:
    """How many tasks the attempts were made at, where some have several."""
    return "" if num_tasks in (None, n) else f" <small>at {count(num_tasks)} tasks</small>"


def _difference(score: Mapping[str, Any]) -> str:
    """After less before, in percentage points."""
    before, after = number(score.get("before")), number(score.get("after"))
    if before is None or after is None:
        return ""
    bounds = [number(bound) for bound in sequence(score.get("difference_interval"))]
    low_high = " to ".join(f"{100 * bound:+.0f}" for bound in bounds if bound is not None)
    return f'{100 * (after - before):+.0f} <small class="range">{low_high}</small>'


def _with_interval(dot: charts.Dot | None) -> str:
    if dot is None:
        return "not scored"
    low_high = f'<small class="range">{_interval(dot)}</small>' if dot.interval else ""
    return f"{percent(dot.value)} {low_high}"


def trajectories_link(**filters: str) -> str:
    """Address of the page's browser with filters set, for an attribute in double quotes."""
    return clean("#trajectories?" + urlencode(filters, quote_via=quote, errors="replace"))


def _left_out(counts: Mapping[str, Any], before: str, name: str) -> str:
    """What was not compared, because only one side was scored on it."""
    parts = []
    for env, sides in counts.items():
        first, second = (count(number(mapping(sides).get(side)) or 0) for side in ("before", "after"))
        parts.append(f"{env}: {first} of {before}, {second} of {name}")
    if not parts:
        return ""
    text = f"Only attempts that both runs were scored on are compared. Left out: {'; '.join(parts)}."
    return f'<p class="note warning">{clean(text)}</p>'


def _families(rows: Mapping[str, Any]) -> str:
    families = {mapping(row).get("family") for row in rows.values()}
    notes = ["Mean score over scored attempts, with 95% intervals."]
    if any(number(mapping(row).get("p_value")) is not None for row in rows.values()):
        notes.append("p compares the two runs task by task.")
    if any(number(mapping(row).get("detectable")) is not None for row in rows.values()):
        notes.append("Detectable is the smallest difference that so many tasks find with a chance of 80%.")
    if "held_in" in families:
        notes.append("Held-in: new tasks of a kind the model was trained on (in-distribution).")
    if "held_out" in families:
        notes.append("Held-out: a kind of task it was not trained on.")
    return note(" ".join(notes))


def overall(standing: Mapping[str, Any]) -> str:
    """The paper's Overall by group and policy, or why there is none; why not to compare it stands below."""
    policies = mapping(standing.get("policies"))
    groups = dict.fromkeys(group for found in policies.values() for group in mapping(found))
    rows: list[list[str]] = []
    reasons: dict[str, None] = {}
    for group in groups:
        entries = [mapping(mapping(found).get(group)) for found in policies.values()]
        values = [number(entry.get("overall")) for entry in entries]
        if any(value is not None for value in values):
            title = next((str(entry["title"]) for entry in entries if "title" in entry), group)
            rows.append([clean(title), *("" if value is None else f"{value:.2f}" for value in values)])
            reasons |= {str(each): None for entry in entries for each in sequence(entry.get("notes"))}
    if not rows:
        return note(f"No Overall: {standing['why_not']}.") if standing.get("why_not") else ""
    text = (
        "Overall: mean over a group's tasks of score / mean score of five baselines "
        f"({standing.get('baselines', 'unknown')}); groups are never averaged together."
    )
    listed = "".join(f"<li>{clean(reason)}</li>" for reason in reasons)
    caution = (
        fold("Why these are not comparable with the published figures", f"<ul>{listed}</ul>")
        if listed
        else ""
    )
    return table(["", *policies], rows) + note(text) + caution


def dot(score: Mapping[str, Any], when: str) -> charts.Dot | None:
    """A score with its interval; None when it is not known."""
    value = number(score.get(when))
    if value is None:
        return None
    bounds = sequence(score.get("interval" if when == "score" else f"{when}_interval"))
    low, high = (number(bounds[0]), number(bounds[1])) if len(bounds) == 2 else (None, None)
    return charts.Dot(value, (low, high) if low is not None and high is not None else None)


def _interval(dot: charts.Dot | None) -> str:
    return f"{percent(dot.interval[0])} to {percent(dot.interval[1])}" if dot and dot.interval else ""


def change(before: charts.Dot | None, after: charts.Dot | None) -> str:
    """Both scores in words."""
    shown = [percent(dot.value) if dot else "not scored" for dot in (before, after)]
    return " → ".join(shown)


def _extra(title: str, extra: Mapping[str, Any], labels: tuple[str, str]) -> str:
    """Table of further measures, folded."""
    columns = {name: mapping(extra.get(name)) for name in ("before", "after", "score") if name in extra}
    names = dict.fromkeys(name for values in columns.values() for name in values)
    shown = {"before": labels[0], "after": labels[1], "score": "score"}
    rows = [
        [clean(name.replace("_", " ")), *(cell(values.get(name)) for values in columns.values())]
        for name in names
    ]
    return fold(title, table(["", *(shown[name] for name in columns)], rows)) if rows else ""


def cell(value: object) -> str:
    """A number, or text, as a table cell."""
    known = number(value)
    return count(known) if known is not None else "" if value is None else clean(value)


def errors(report: Mapping[str, Any]) -> str:
    """Error types by environment and run; each cell leads to its trajectories."""
    names, rows, rules = run_names(report), [], {}
    for env, found in mapping(report.get("errors")).items():
        types, runs = mapping(mapping(found).get("types")), mapping(mapping(found).get("runs"))
        scored = [number(mapping(runs.get(name)).get("of")) for name in names]
        heads = ["" if each is None else f"of {count(each)} scored" for each in scored]
        rows.append(["<strong>" + clean(env) + "</strong>", *heads])
        for kind, described in types.items():
            if any(_shown(run, kind) for run in runs.values()):
                title = str(mapping(described).get("title", kind))
                rules[title] = mapping(described).get("rule")
                rows.append([clean(title), *(_error_cell(env, name, kind, runs) for name in names)])
    if not rows:
        return ""
    listed = "".join(f"<dt>{clean(name)}</dt><dd>{clean(rule)}</dd>" for name, rule in rules.items() if rule)
    text = (
        "Attempts that show an error at least once; types overlap, and one that was won may show some. "
        "The rules are agentray's own: the paper names types and publishes no rule."
    )
    rules_shown = fold("How each type is found", f"<dl>{listed}</dl>") if listed else ""
    return table(["", *names], rows) + note(text) + rules_shown


def _shown(run: object, kind: str) -> Mapping[str, Any]:
    return mapping(mapping(mapping(run).get("counts")).get(kind))


def _error_cell(env: str, run: str, kind: str, runs: Mapping[str, Any]) -> str:
    if run not in runs:
        return ""
    shown = _shown(runs[run], kind)
    found, of = number(shown.get("count")) or 0, number(shown.get("of"))
    if not found:
        return "0 <small></small>"
    share = f"<small>{percent(found / of)}</small>" if of else ""
    link = trajectories_link(env=env, run=run, error=kind)
    label = clean(f"{count(found)} in {env}, {run}: show them")
    return f'<a href="{link}" aria-label="{label}">{count(found)}</a> {share}'


def key(before: str, after: str) -> str:
    """Legend of a before/after chart."""
    return (
        '<ul class="legend" aria-hidden="true">'
        '<li><svg width="14" height="14"><circle class="dot before" cx="7" cy="7" r="5.5"/></svg> '
        f"{clean(before)}</li>"
        '<li><svg width="14" height="14"><circle class="dot after" cx="7" cy="7" r="5.5"/></svg> '
        f"{clean(after)}</li></ul>"
    )
