"""`agentray evaluate --suite`: run the benchmarks and print their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentray.cli import console
from agentray.config import SuiteConfig
from agentray.errors import UsageError
from agentray.policy.address import is_endpoint


def refuse_mixture(
    suite: str | None,
    tasks: Sequence[str] | None,
    data: Path | None,
    envs: Sequence[str] | None,
    file: Path | None,
    split: str | None,
) -> None:
    """Refuse options of environments beside a suite, and those of a suite without one.

    Raises:
        UsageError: They do not fit together.
    """
    if suite is None and (tasks or data):
        raise UsageError(
            "--task and --data belong to a suite",
            "no suite is given",
            "agentray evaluate --suite general --task NAME --data DIR",
        )
    if suite is not None and (envs or file or split):
        raise UsageError(
            "--suite does not go with --env, --tasks or --split",
            "a suite has its own questions",
            "give one evaluation for the environments and one for the suite",
        )


def acting(policy: str | None, model: str | None) -> dict[str, str | None]:
    """Settings that name the policy: `--model` is the policy, or the model of an endpoint given as one.

    Raises:
        UsageError: Both name a policy.
    """
    if policy is None or model is None:
        return {"policy": model or policy}
    if not is_endpoint(policy):
        raise UsageError(
            "--policy and --model are both given",
            "each names the policy",
            "give one of them; beside an endpoint's URL --model is the model to ask it for",
        )
    return {"policy": policy, "model": model}


def evaluate_suite(settings: SuiteConfig, *, as_json: bool) -> None:
    """Run a suite; what was skipped is listed with its reason, below the table."""
    from agentray.suites.run import run

    with console.progress("evaluate") as progress:
        summary = run(settings, progress)
    if as_json:
        console.show(summary, as_json=True)
        return
    scored = {name: row for name, row in summary.tasks.items() if "skipped" not in row}
    console.lines([f"suite {summary.suite} of {summary.policy}, {summary.wall_s:.0f} s"])
    console.table({name: _main_figures(row) for name, row in scored.items()})
    console.lines([f"{name}: {_other_figures(row)}" for name, row in scored.items()])
    skipped = {name: row["skipped"] for name, row in summary.tasks.items() if "skipped" in row}
    console.lines([f"{name} skipped: {why}" for name, why in skipped.items()])
    if summary.out:
        console.lines([f"out {summary.out}"])


_MAIN = ("score", "interval", "n", "failed", "scale")


def _main_figures(row: Mapping[str, Any]) -> dict[str, Any]:
    low, high = row["interval"] or (None, None)
    return {
        "score": row["score"],
        "95 %": f"{low:.3g} to {high:.3g}" if low is not None else None,
        "n": row["n"],
        "failed": row["failed"],
        "scale": row["scale"],
    }


def _other_figures(row: Mapping[str, Any]) -> str:
    """A benchmark's own figures, on one line."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {key}": inner for key, inner in value.items()}
        elif name not in _MAIN:
            flat[name] = value
    shown = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in flat.values())
    return ", ".join(f"{name} {value}" for name, value in zip(flat, shown, strict=True))
