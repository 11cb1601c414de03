"""What the report stage reads: runs with their errors and costs, and what other stages wrote."""

from __future__ import annotations

import json
import math
import statistics
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agentray import manifest
from agentray.env import Finding, TextEnvironment
from agentray.errors import DataError
from agentray.evaluate.diagnosis import INFRASTRUCTURE, ErrorCount, ErrorTable, types_of
from agentray.evaluate.outcomes import Outcomes, iterate_attempts, read_outcomes
from agentray.report.records import (
    Data,
    Errors,
    GeneralLoss,
    RecipeState,
    RunCost,
    RunErrors,
    Sweep,
    Training,
    TypeCount,
)
from agentray.types import Trajectory

Record = TypeVar("Record", bound=BaseModel)
Task = tuple[str, str]
"""Environment and task of an attempt."""


@dataclass(frozen=True)
class Run:
    """One run as the report shows it."""

    name: str
    """Name of its directory, with as many parents as tell it from the other runs."""
    outcomes: Outcomes
    environments: Mapping[str, TextEnvironment]
    """The environments of its attempts, with the settings that they were made with."""
    cost: RunCost
    errors: Mapping[str, Mapping[str, ErrorCount]]
    """By environment and error type."""
    shown: Sequence[tuple[Trajectory, tuple[Finding, ...]]]
    """The attempts that the page shows, with their errors."""


def read_runs(directories: Sequence[Path], most: int) -> list[Run]:
    """The runs, with the errors of their attempts.

    Args:
        directories: Directories of finished evaluations or rollouts.
        most: Attempts to show; of more, all those at a fair sample of the tasks.

    Raises:
        UsageError: A directory is not a finished run, or an environment is not installed.
        DataError: A run is empty, or a file of it cannot be read: it is damaged, or of a newer agentray.
    """
    outcomes = [read_outcomes(each) for each in directories]
    chosen = _chosen(outcomes, most)
    return [
        read_run(name, each, iterate_attempts(each.directory), manifest.read(each.directory), chosen)
        for name, each in zip(run_names(directories), outcomes, strict=True)
    ]


def read_run(
    name: str,
    outcomes: Outcomes,
    attempts: Iterable[Trajectory],
    document: manifest.Manifest,
    chosen: Collection[Task] | None = None,
) -> Run:
    """One run; its attempts are read once, and only those at the chosen tasks are kept."""
    environments = outcomes.environments()
    errors, shown = ErrorTable(environments), []
    counts: Counter[str] = Counter()
    durations = array("d")
    for each in attempts:
        findings = errors.add(each)
        durations.append(each.duration_s)
        counts["turns"] += len(each.turns)
        for usage in filter(None, (turn.reply.usage for turn in each.turns)):
            counts["prompt_tokens"] += usage.prompt_tokens
            counts["completion_tokens"] += usage.completion_tokens
        if chosen is None or (each.task.env, each.task.fingerprint + each.task.id) in chosen:
            shown.append((each, findings))
    cost = RunCost(
        name=name,
        directory=str(outcomes.directory),
        policies=sorted({each.policy for each in outcomes.attempts}),
        attempts=len(outcomes.attempts),
        scored=sum(each.reward is not None for each in outcomes.attempts),
        truncated=sum(each.status == "truncated" for each in outcomes.attempts),
        failed=sum(each.status == "failed" for each in outcomes.attempts),
        turns=counts["turns"],
        prompt_tokens=counts.get("prompt_tokens"),
        completion_tokens=counts.get("completion_tokens"),
        attempt_s=statistics.median(durations),
        wall_s=document.wall_s,
        stage=document.stage,
        config=dict(document.config),
    )
    return Run(name, outcomes, environments, cost, errors.counts(), shown)


def _chosen(runs: Sequence[Outcomes], most: int) -> set[Task] | None:
    """Tasks with at most so many attempts in all; None for all. Fingerprints are hashes: a fair order."""
    counts = Counter((each.env, each.task) for run in runs for each in run.attempts)
    if counts.total() <= most:
        return None
    chosen, total = set(), 0
    for task in sorted(counts, key=lambda task: task[1]):
        total += counts[task]
        if total > most:
            break
        chosen.add(task)
    return chosen


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


def errors(runs: Sequence[Run]) -> dict[str, Errors]:
    """By environment: the error types with their rules, and how many attempts of each run show them."""
    found = {}
    for env in sorted({env for run in runs for env in run.errors}):
        playing = [run for run in runs if env in run.errors]
        kinds = types_of(playing[0].environments[env])
        found[env] = Errors(
            types={kind.id: kind for kind in kinds},
            runs={run.name: _run_errors(run.errors[env]) for run in playing},
        )
    return found


def _run_errors(counts: Mapping[str, ErrorCount]) -> RunErrors:
    ordered = sorted(counts.items(), key=lambda each: -each[1].count)
    scored = next(each.of for kind, each in counts.items() if kind != INFRASTRUCTURE)
    return RunErrors(scored, {kind: TypeCount(each.count, each.of) for kind, each in ordered if each.count})


def training(directory: Path) -> tuple[Training, GeneralLoss | None]:
    """Loss curves of a training run, and the general ability before and after it."""
    counts = manifest.read(directory).counts
    lines = (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    sources = sorted({name for step in steps for name in step["loss_by_source"]})
    curves = {
        "steps": [step["step"] for step in steps],
        "loss": [_finite(step["loss"]) for step in steps],
        "loss_by_source": {
            name: [_finite(step["loss_by_source"].get(name)) for step in steps] for name in sources
        },
    }
    found = record(Training, {**counts, **curves}, directory)
    before, after = (counts.get(f"validation_{when}") or {} for when in ("before", "after"))
    if not (before and after):
        return found, None
    losses = [math.fsum(each.values()) / len(each) for each in (before, after)]
    return found, GeneralLoss(before_nll=losses[0], after_nll=losses[1])


def _finite(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def data(filtered: Path, mixed: Path | None) -> Data:
    """What the filter kept, and the mixture that was made of it."""
    mix = manifest.read(mixed).counts if mixed else {}
    return record(Data, {**mix, **manifest.read(filtered).counts}, filtered)


def sweep(directory: Path) -> Sweep:
    """Trials of `agentray tune`, the recommended one marked; those of earlier versions vary η alone."""
    counts = manifest.read(directory).counts
    best = counts.get("trials", {}).get(counts.get("recommended"), {}).get("settings")
    trials = [
        {**each, "settings": each.get("settings") or {"train.eta": each.get("eta")}}
        for each in load(directory / "table.json", "agentray tune")
    ]
    for each in trials:
        each["recommended"] = each["settings"] == (best or {"train.eta": counts.get("recommended_eta")})
    return record(Sweep, {**counts, "trials": trials}, directory)


def recipe(directory: Path) -> RecipeState:
    """What a recipe wrote about its stages."""
    return record(RecipeState, load(directory / "recipe.json", "agentray run"), directory)


def record(kind: type[Record], content: Any, place: Path) -> Record:
    """A record from our own JSON.

    Raises:
        DataError: The JSON is not such a record.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"cannot read {str(place)!r}",
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            "run its stage again with this agentray",
        ) from error


def load(path: Path, writer: str) -> Any:
    """A JSON file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {str(path)!r}", str(error), f"give a directory that `{writer}` wrote"
        ) from error
