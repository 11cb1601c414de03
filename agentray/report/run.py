"""The report stage: one run, or several of the same tasks, become `report.json` and `report.html`.

agentray report runs/base runs/tuned --train runs/train --out runs/report
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.config import ReportConfig
from agentray.data.shards import segments, shards
from agentray.errors import DataError, UsageError
from agentray.evaluate.compare import compare, not_compared
from agentray.evaluate.outcomes import read_outcomes
from agentray.evaluate.score import score
from agentray.overall.baselines import GROUPS, TITLES, load
from agentray.overall.groups import measure
from agentray.overall.suite import SUITE, read_suite
from agentray.report import archive, reading
from agentray.report.page import write_page
from agentray.report.reading import Run
from agentray.report.records import Pair, RecipeState, Report, Single, StageTime, Suite
from agentray.report.tokens import find_bounds
from agentray.stage import Stage
from agentray.types import Progress, silent


@dataclass(frozen=True)
class ReportSummary:
    """Where the report is, and its main figures."""

    json: str
    html: str
    trajectories: int
    scores: Mapping[str, Any]


def run(config: ReportConfig, progress: Progress = silent) -> ReportSummary:
    """Show one run, or compare the first with the others on the attempts that both scored.

    Raises:
        UsageError: A directory does not exist or is not complete, or an environment is not installed.
        DataError: Two runs have no scored attempt in common, or a file cannot be read.
    """
    stage = Stage("report", config, config.out, ReportSummary, inputs=_inputs(config), identity={})
    suites = [
        Suite(directory=str(each), **read_suite(each).model_dump(exclude_unset=True))
        for each in [*(each for each in config.runs if (each / SUITE).is_file()), *config.suite]
    ]
    directories = [each for each in config.runs if _has_attempts(each) or not (each / SUITE).is_file()]
    runs = reading.read_runs(directories, config.trajectories)
    report = Report(
        runs=[each.cost for each in runs],
        errors=reading.errors(runs),
        suites=suites,
        **_scores(runs),
        **_overall(runs, suites),
        **_other_stages(config, runs),
        versions=manifest.versions(),
        commit=manifest.commit(),
        machine=manifest.machine(),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    bounds = [find_bounds(_tokenizers(config, each)) for each in runs]
    manifest.make_directory(config.out)
    manifest.write_json(config.out / "report.json", report.document())
    write_page(report, archive.encode(runs, bounds) if runs else None, config.out / "report.html")
    summary = ReportSummary(
        json=str(config.out / "report.json"),
        html=str(config.out / "report.html"),
        trajectories=sum(each.cost.attempts for each in runs),
        scores={env: asdict(row) for env, row in report.scores.items()},
    )
    progress(1, 1)
    if not manifest.is_complete(config.out) or manifest.read(config.out).stage == stage.name:
        stage.complete(summary)  # in the directory of another stage the report is an addition
    return summary


def _inputs(config: ReportConfig) -> list[Path]:
    others = [config.train, config.tune, config.filter, config.mix]
    others += [path for pair in config.pairs for path in (pair.before, pair.after)]
    return [*config.runs, *config.suite, *(path for path in others if path is not None)]


def _has_attempts(directory: Path) -> bool:
    return bool(shards(directory) or segments(directory))


def _scores(runs: Sequence[Run]) -> dict[str, Any]:
    """Scores of the only run, or of the base beside each further one."""
    if not runs:
        return {}
    base, *others = (run.outcomes for run in runs)
    if not others:
        scored = {each.env for each in base.attempts if each.reward is not None}
        found = score([each for each in base.attempts if each.env in scored], runs[0].environments)
        return {"scores": {env: Single.of(each, base.settings.get(env) or {}) for env, each in found.items()}}
    names = [run.name for run in runs[1:]]
    compared = {name: compare(base, each) for name, each in zip(names, others, strict=True)}
    unpaired = {
        name: not_compared(base.attempts, each.attempts) for name, each in zip(names, others, strict=True)
    }
    return {
        "scores": compared.pop(names[0]),
        "further": compared,
        "left_out": {name: counts for name, counts in unpaired.items() if counts},
    }


def _other_stages(config: ReportConfig, runs: Sequence[Run]) -> dict[str, Any]:
    """What other stages left."""
    training, general = reading.training(config.train) if config.train else (None, None)
    recipe = reading.recipe(config.recipe) if config.recipe else RecipeState()
    return {
        "pairs": [
            Pair(pair.label, compare(read_outcomes(pair.before), read_outcomes(pair.after)))
            for pair in config.pairs
            if pair.before is not None and pair.after is not None
        ],
        "training": training,
        "general": general,
        "data": reading.data(config.filter, config.mix) if config.filter else None,
        "sweep": reading.sweep(config.tune) if config.tune else None,
        "recipe": recipe,
        "stages": [each for each in recipe.stages if each.state != "skipped"] or _stages(config, runs),
        "serve_command": _serve_command(config.train),
    }


def _overall(runs: Sequence[Run], suites: Sequence[Suite]) -> dict[str, Any]:
    """The Overall by policy and group where all tasks of a group were measured, else why there is none."""
    baselines = load()
    measured = {env for run in runs for env in run.environments}
    measured |= {task for each in suites for task in each.tasks}
    tasks = {group: baselines.group(group) for group in GROUPS}
    lacking = {
        group: [name for name in names if baselines.tasks[name].environment not in measured]
        for group, names in tasks.items()
    }
    if all(lacking.values()):
        begun = [group for group in GROUPS if len(lacking[group]) < len(tasks[group])]
        why = "; ".join(f"the {TITLES[group]} tasks lack {', '.join(lacking[group])}" for group in begun)
        return {"no_overall": why or None}
    directories = {run.outcomes.directory for run in runs} | {Path(each.directory) for each in suites}
    try:
        return {"overall": measure(sorted(directories), baselines)}
    except (DataError, UsageError) as error:  # two runs of one policy, or a task without a score
        return {"no_overall": f"{error.what}: {error.why}"}


def _tokenizers(config: ReportConfig, run: Run) -> list[Path]:
    """Directories that may hold the tokenizer of a run's replies."""
    if config.tokenizer is None:
        return [Path(str(run.cost.config.get("policy", "")))]
    if not (config.tokenizer / "tokenizer.json").is_file():
        raise UsageError(
            f"no tokenizer in {str(config.tokenizer)!r}",
            "it holds no tokenizer.json",
            "give the directory of the model that wrote the replies, or no report.tokenizer",
        )
    return [config.tokenizer]


def _serve_command(train: Path | None) -> str | None:
    if train is None or not (train / "model").is_dir():
        return None
    return f"agentray serve --model {shlex.quote(str(train / 'model'))}"


def _stages(config: ReportConfig, runs: Sequence[Run]) -> list[StageTime]:
    """Wall time of each finished stage, as its manifest has it."""
    named = {"filter": config.filter, "mix": config.mix, "train": config.train, "tune": config.tune}
    times = {name: manifest.read(path).wall_s for name, path in named.items() if path is not None}
    times |= {f"evaluate {each.name}": each.cost.wall_s for each in runs}
    return [StageTime(name=name, wall_s=wall_s) for name, wall_s in times.items()]
