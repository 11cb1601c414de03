"""How `agentray evaluate` shows the scores of environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentray.cli import console

if TYPE_CHECKING:
    from agentray.evaluate.run import EvaluateSummary
    from agentray.evaluate.score import Score


def show(summary: EvaluateSummary) -> None:
    """Print scores with their intervals, the benchmarks' own figures, and how it went."""
    console.lines([f"{summary.policy} on the {summary.split} split, {summary.wall_s:.0f} s"])
    console.table({env: _row(score) for env, score in summary.scores.items()})
    for env, score in summary.scores.items():
        extra = ", ".join(f"{name} {value:.3g}" for name, value in score.extra.items())
        few = f"few attempts in {', '.join(score.few)}" if score.few else ""
        console.lines([f"{env}: {shown}" for shown in (extra, few) if shown])
    console.lines([f"{count} failed: {reason}" for reason, count in summary.failed_by_reason.items()])
    console.lines([f"asked differently, {name}: {', '.join(what)}" for name, what in summary.adapted.items()])
    if summary.out:
        console.lines([f"out {summary.out}"])


def _row(score: Score) -> dict[str, object]:
    low, high = score.interval
    return {
        "score": score.mean,
        "95 %": f"{low:.3g} to {high:.3g}",
        "n": score.n,
        "tasks": score.tasks,
        "failed": score.failed,
        "truncated": score.truncated,
        "family": score.family.replace("_", "-"),
    }
