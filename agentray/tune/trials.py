"""What trials led to: the best one, and all of them as a table and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentray.tune.space import label


@dataclass(frozen=True)
class Trial:
    """What one choice of settings led to."""

    eta: float
    agent: float
    """Mean over environments of the mean reward on unseen tasks."""
    scores: Mapping[str, float]
    """Mean reward by environment."""
    general_before: float | None
    """General validation loss of the base model; None without general data."""
    general_after: float | None
    """The same of the tuned model."""
    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Value of each setting that the sweep varies."""
    num_steps: int = 0
    """Steps it made: fewer than others' where the scheduler stopped it."""


def recommend(trials: Sequence[Trial], max_general_loss: float) -> tuple[Trial, str]:
    """The best trial and the reason: most agent ability among those that kept general ability.

    Args:
        trials: At least one.
        max_general_loss: Largest relative rise of the general loss that counts as kept.
    """

    def rise(trial: Trial) -> float:
        if trial.general_before is None or trial.general_after is None:
            return 0.0
        return trial.general_after / trial.general_before - 1

    keeping = [trial for trial in trials if rise(trial) <= max_general_loss]
    if keeping:
        best = max(keeping, key=lambda trial: (trial.agent, -rise(trial)))
        return best, f"most agent ability with the general loss at most {max_general_loss:.0%} up"
    best = min(trials, key=rise)
    return best, f"no trial kept the general loss within {max_general_loss:.0%}; this one raised it least"


def ordered(trials: Sequence[Trial]) -> list[Trial]:
    """Trials by rising values of their settings, numbers before words."""

    def key(trial: Trial) -> list[tuple[bool, float, str]]:
        values = trial.settings.values()
        return [(False, each, "") if _is_number(each) else (True, 0.0, str(each)) for each in values]

    return sorted(trials, key=key)


def write_table(trials: Sequence[Trial], best: Trial, path: Path) -> None:
    """Write a text table: a line a trial, best agent ability first, the recommended one marked."""
    names = list(trials[0].settings)
    envs = list(trials[0].scores)
    head = ["", *names, "num_steps", "agent", *(envs if len(envs) > 1 else []), "general before", "after"]
    rows = [head]
    for trial in sorted(trials, key=lambda each: -each.agent):
        scores = [trial.agent, *(trial.scores.values() if len(envs) > 1 else [])]
        losses = [trial.general_before, trial.general_after]
        rows.append(
            ["*" if trial is best else ""]
            + [label({name: trial.settings[name]}) for name in names]
            + [str(trial.num_steps)]
            + [f"{each:.3f}" for each in scores]
            + ["" if each is None else f"{each:.4f}" for each in losses]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    path.write_text("\n".join(map(str.rstrip, lines)) + "\n", encoding="utf-8")


def write_plot(trials: Sequence[Trial], path: Path) -> bool:
    """Plot abilities over the one number that varies; returns False, and plots nothing, for anything else."""
    from agentray.report.charts import write_curve

    varying = [name for name in trials[0].settings if len({str(each.settings[name]) for each in trials}) > 1]
    names = varying or list(trials[0].settings)
    if len(names) != 1:
        return False
    name = names[0]
    if not all(_is_number(each.settings[name]) for each in trials):
        return False
    shown = "η" if name == "train.eta" else name
    curves = {"agent ability (mean reward)": [(each.settings[name], each.agent) for each in trials]}
    general = [(each.settings[name], each.general_after) for each in trials if each.general_after is not None]
    if general:
        curves["general loss (nats per token)"] = general
    write_curve(curves, path, f"Agent and general ability over {shown}", x_label=shown)
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
