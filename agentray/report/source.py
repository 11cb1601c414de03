"""What the report stage reads: runs with their trajectories and error types, and what other stages left.

Every function here reads files and returns plain data for `report.json`; none of them writes.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.data.stored import read
from agentray.env import Environment, Finding
from agentray.errors import DataError, UsageError
from agentray.evaluate.diagnosis import MACHINERY, error_types, types_of
from agentray.overall.baselines import GROUPS, TITLES, load
from agentray.overall.groups import measure
from agentray.overall.suite import SUITE, read_suite
from agentray.types import Trajectory


@dataclass(frozen=True)
class Run:
    """One run as the report shows it."""

    name: str
    """Name of its directory, with as many parents as tell it from the other runs."""
    directory: Path
    manifest: manifest.Manifest
    settings: Mapping[str, Mapping[str, Any]]
    """Settings by environment id."""
    environments: Mapping[str, Environment]
    """The environments of its attempts, with the settings that they were made with."""
    trajectories: Sequence[Trajectory]
    findings: Sequence[tuple[Finding, ...]]
    """Errors of each trajectory, in the order of `trajectories`."""


def read_runs(directories: Sequence[Path], settings: Mapping[str, Mapping[str, Any]]) -> list[Run]:
    """The runs, with the errors of their attempts.

    Args:
        directories: Directories of finished evaluations or rollouts.
        settings: Environment settings by environment id, instead of those in the runs' manifests.

    Raises:
        UsageError: A directory is no finished run, or an environment is not installed.
        DataError: A run is empty, or a file of it cannot be read: it is damaged, or of a newer agentray.
    """
    return [
        _run(name, directory, settings)
        for name, directory in zip(run_names(directories), directories, strict=True)
    ]


def _run(name: str, directory: Path, settings: Mapping[str, Mapping[str, Any]]) -> Run:
    stored = read(directory)
    stored = replace(stored, settings={**stored.settings, **settings})
    environments = stored.environments()
    return Run(
        name=name,
        directory=directory,
        manifest=manifest.read(directory),
        settings=stored.settings,
        environments=environments,
        trajectories=stored.trajectories,
        findings=[error_types(each, environments[each.task.env]) for each in stored.trajectories],
    )


def run_names(directories: Sequence[Path]) -> list[str]:
    """Shortest ends of the paths that tell them apart; a directory given twice is numbered."""
    if not directories:
        return []
    paths = [directory.resolve().parts for directory in directories]
    depth, longest = 1, max(map(len, paths))
    while depth < longest and len({path[-depth:] for path in paths}) < len(set(paths)):
        depth += 1
    names = ["/".join(path[-depth:]) for path in paths]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: index + 1].count(name)})"
        for index, name in enumerate(names)
    ]


def cost(run: Run) -> dict[str, Any]:
    """What a run took: attempts, turns, tokens as far as the policy counted them, and seconds."""
    trajectories = run.trajectories
    turns = [turn for each in trajectories for turn in each.turns]
    usages = [turn.reply.usage for turn in turns if turn.reply.usage is not None]
    return {
        "name": run.name,
        "directory": str(run.directory),
        "policies": sorted({each.policy for each in trajectories}),
        "attempts": len(trajectories),
        "scored": sum(each.reward is not None for each in trajectories),
        "truncated": sum(each.status == "truncated" for each in trajectories),
        "failed": sum(each.status == "failed" for each in trajectories),
        "turns": len(turns),
        "prompt_tokens": sum(usage.prompt_tokens for usage in usages) if usages else None,
        "completion_tokens": sum(usage.completion_tokens for usage in usages) if usages else None,
        "attempt_s": statistics.median(each.duration_s for each in trajectories) if trajectories else None,
        "wall_s": run.manifest.wall_s,
        "stage": run.manifest.stage,
        "config": dict(run.manifest.config),
    }


def errors(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """By environment: the error types with their rules, and how many attempts of each run show them."""
    found: dict[str, dict[str, Any]] = {}
    for env in sorted({env for run in runs for env in run.environments}):
        playing = [run for run in runs if env in run.environments]
        found[env] = {
            "types": {
                kind.id: {"title": kind.title, "rule": kind.rule}
                for kind in types_of(playing[0].environments[env])
            },
            "runs": {run.name: _error_counts(run, env) for run in playing},
        }
    return found


def _error_counts(run: Run, env: str) -> dict[str, Any]:
    """`of` is what a share is of: scored attempts, for what the machinery lost all of them."""
    pairs = zip(run.trajectories, run.findings, strict=True)
    found = [(each, findings) for each, findings in pairs if each.task.env == env]
    counts = Counter(kind for _, findings in found for kind in {finding.type for finding in findings})
    scored = sum(each.reward is not None for each, _ in found)
    return {
        "of": scored,
        "counts": {
            kind: {"count": count, "of": len(found) if kind == MACHINERY else scored}
            for kind, count in counts.most_common()
        },
    }


def training(directory: Path) -> dict[str, Any]:
    """Loss curves of a training run, and the general ability before and after it."""
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    sources = sorted({name for step in steps for name in step["loss_by_source"]})
    counts = manifest.read(directory).counts
    entry: dict[str, Any] = {
        "training": {
            "steps": [step["step"] for step in steps],
            "loss": [step["loss"] for step in steps],
            "loss_by_source": {
                name: [step["loss_by_source"].get(name) for step in steps] for name in sources
            },
            "tokens_per_s": counts["tokens_per_s"],
            "tokens": counts["tokens"],
            "loss_tokens": counts["loss_tokens"],
        }
    }
    before, after = counts["validation_before"], counts["validation_after"]
    if before and after:
        entry["general"] = {
            "before_nll": math.fsum(before.values()) / len(before),
            "after_nll": math.fsum(after.values()) / len(after),
        }
    return entry


def data(filtered: Path, mixed: Path | None) -> dict[str, Any]:
    """What the filter kept, and the mixture that was made of it."""
    counts = manifest.read(filtered).counts
    entry = {key: counts[key] for key in ("read", "kept", "rejected")}
    if mixed:
        mix = manifest.read(mixed).counts
        entry |= {"eta": mix["eta"], "realised": mix["realised"]}
    return entry


def sweep(directory: Path) -> dict[str, Any]:
    """Trials of `agentray tune` by rising η, and the η it recommends."""
    counts = manifest.read(directory).counts
    return {
        "recommended_eta": counts["recommended_eta"],
        "trials": _json(directory / "table.json", "agentray tune"),
    }


def suites(runs: Sequence[Path], given: Sequence[Path]) -> list[dict[str, Any]]:
    """General suite results, each with the directory it came from.

    Args:
        runs: Directories that may hold one.
        given: Directories that must.

    Raises:
        DataError: One of these has none, or it cannot be read.
    """
    directories = [*(each for each in runs if (each / SUITE).is_file()), *given]
    return [
        {"directory": str(each), **read_suite(each).model_dump(mode="json", exclude_unset=True)}
        for each in directories
    ]


def overall(runs: Sequence[Run], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The paper's Overall by policy and group, where all tasks of a group were measured.

    Returns:
        As `agentray overall --json`; else only `why_not`; nothing where no task of the table was measured.
    """
    baselines = load()
    measured = {env for run in runs for env in run.environments}
    measured |= {task for each in results for task in each["tasks"]}
    tasks = {group: baselines.group(group) for group in GROUPS}
    lacking = {
        group: [name for name in names if baselines.tasks[name].environment not in measured]
        for group, names in tasks.items()
    }
    if all(lacking.values()):
        begun = [group for group in GROUPS if len(lacking[group]) < len(tasks[group])]
        why = "; ".join(f"the {TITLES[group]} tasks lack {', '.join(lacking[group])}" for group in begun)
        return {"why_not": why} if why else {}
    directories = {run.directory for run in runs} | {Path(each["directory"]) for each in results}
    try:
        return asdict(measure(sorted(directories), baselines))
    except (DataError, UsageError) as error:  # two runs of one policy, or a task without a score
        return {"why_not": f"{error.what}: {error.why}"}


def _json(path: Path, writer: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {str(path)!r}", str(error), f"give a directory that `{writer}` wrote"
        ) from error
