"""`agentray evaluate --suite general`: run the suite and print its table."""

from __future__ import annotations

from collections.abc import Sequence

from agentray.cli import console
from agentray.config import SuiteConfig
from agentray.errors import UsageError


def refuse_mixture(
    suite: str | None, tasks: Sequence[str] | None, envs: Sequence[str] | None, split: str | None
) -> None:
    """Refuse options of environments beside a suite, and those of a suite without one.

    Raises:
        UsageError: They do not fit together.
    """
    if suite is None and tasks:
        raise UsageError(
            "--task names a benchmark of a suite",
            "no suite is given",
            "agentray evaluate --suite general --task NAME",
        )
    if suite is not None and (envs or split):
        raise UsageError(
            "--suite does not go with --env or --split",
            "a suite has its own questions",
            "give one evaluation for the environments and one for the suite",
        )


def evaluate_suite(settings: SuiteConfig, *, as_json: bool) -> None:
    """Run a suite; what was left out is listed with its reason, below the table."""
    from agentray.evaluate.suites.run import run

    with console.progress("evaluate") as progress:
        summary = run(settings, progress)
    if as_json:
        console.show(summary, as_json=True)
        return
    scored = {name: row for name, row in summary.tasks.items() if "skipped" not in row}
    skipped = {name: row["skipped"] for name, row in summary.tasks.items() if "skipped" in row}
    shown = {"suite": summary.suite, "policy": summary.policy, "tasks": scored, "wall_s": summary.wall_s}
    console.show({**shown, **({"skipped": skipped} if skipped else {}), "out": summary.out}, as_json=False)
