"""The report stage: one run, or several of the same tasks, become `report.json` and `report.html`.

agentray report runs/base runs/tuned --train runs/train --out runs/report
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.config import ReportConfig
from agentray.data.shards import shards
from agentray.errors import UsageError
from agentray.evaluate.compare import compare, not_compared
from agentray.evaluate.outcomes import Outcome, outcome
from agentray.evaluate.score import read_scores, score
from agentray.report import archive, source
from agentray.report.page import write_page
from agentray.report.pieces import find_pieces
from agentray.report.source import Run
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
    results = source.suites(config.runs, config.suite)
    only_results = {Path(each["directory"]) for each in results if not shards(Path(each["directory"]))}
    runs = source.read_runs([each for each in config.runs if each not in only_results], config.env)
    report: dict[str, Any] = {
        "stages": _stages(config, runs),
        "runs": [source.cost(each) for each in runs],
        **_scores(runs),
        "overall": source.overall(runs, results),
        "errors": source.errors(runs),
        "suites": results,
    }
    if config.benchmark_before and config.benchmark_after:
        report["agentbench_dev"] = _benchmark(config.benchmark_before, config.benchmark_after)
    if config.train:
        report |= source.training(config.train)
    if config.filter:
        report["data"] = source.data(config.filter, config.mix)
    if config.tune:
        report["sweep"] = source.sweep(config.tune)
    report |= {"versions": manifest.versions(), "commit": manifest.commit()}
    report |= {"machine": manifest.machine(), "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if config.recipe:
        report |= _of_recipe(config.recipe)
    pieces = [find_pieces(_tokenizers(config, each)) for each in runs]
    manifest.make_directory(config.out)
    manifest.write_json(config.out / "report.json", report)
    write_page(report, archive.encode(runs, pieces) if runs else None, config.out / "report.html")
    return ReportSummary(
        json=str(config.out / "report.json"),
        html=str(config.out / "report.html"),
        trajectories=sum(len(each.trajectories) for each in runs),
        scores=report["scores"],
    )


def _scores(runs: Sequence[Run]) -> dict[str, Any]:
    """Scores of one run, or of the base beside the second; those beside further runs stand in `further`."""
    if not runs:
        return {"scores": {}}
    base, *others = runs
    if not others:
        return {"scores": _alone(base)}
    compared = {each.name: _compared(base, each) for each in others}
    unpaired = {each.name: not_compared(_outcomes(base), _outcomes(each)) for each in others}
    return {
        "scores": compared.pop(others[0].name),
        "further": compared,
        "left_out": {name: counts for name, counts in unpaired.items() if counts},
    }


def _outcomes(run: Run) -> list[Outcome]:
    return [outcome(each) for each in run.trajectories]


def _compared(base: Run, other: Run) -> dict[str, Any]:
    settings = {**base.settings, **other.settings}
    environments = {**base.environments, **other.environments}
    found = compare(_outcomes(base), _outcomes(other), environments, settings)
    return {env: asdict(each) for env, each in found.items()}


def _alone(run: Run) -> dict[str, Any]:
    """Scores of one policy by environment; an environment without a scored attempt has none."""
    scored = {each.task.env for each in run.trajectories if each.reward is not None}
    found = score([each for each in _outcomes(run) if each.env in scored], run.environments)
    return {
        env: {
            "score": each.mean,
            "interval": list(each.interval),
            "n": each.n,
            "failed": each.failed,
            "family": each.family,
            "extra": {"score": dict(each.extra)},
        }
        for env, each in found.items()
    }


def _tokenizers(config: ReportConfig, run: Run) -> list[Path]:
    """Directories that may hold the tokenizer of a run's replies."""
    if config.tokenizer is None:
        return [Path(str(run.manifest.config.get("policy", "")))]
    if not (config.tokenizer / "tokenizer.json").is_file():
        raise UsageError(
            f"no tokenizer in {str(config.tokenizer)!r}",
            "it holds no tokenizer.json",
            "give the directory of the model that wrote the replies, or leave report.tokenizer out",
        )
    return [config.tokenizer]


def _benchmark(before: Path, after: Path) -> dict[str, Any]:
    """AgentBench's own records: its overall score and the accuracies that it averages."""
    scores = [next(iter(read_scores(path).policies.values()))["database"] for path in (before, after)]
    names = sorted(set(scores[0].extra) & set(scores[1].extra))
    rows: dict[str, Any] = {
        name: {"before": scores[0].extra[name], "after": scores[1].extra[name]} for name in names
    }
    return {**rows, "n": scores[1].n}


def _stages(config: ReportConfig, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Wall time of each finished stage, as its manifest has it."""
    named = {"filter": config.filter, "mix": config.mix, "train": config.train, "tune": config.tune}
    found = {name: manifest.read(path) for name, path in named.items() if path is not None}
    found |= {f"evaluate {each.name}": each.manifest for each in runs}
    return [{"name": name, "wall_s": each.wall_s} for name, each in found.items()]


def _of_recipe(directory: Path) -> dict[str, Any]:
    """What a recipe notes of its stages so far, in place of what the manifests say.

    Raises:
        UsageError: The directory is not a recipe's.
    """
    path = directory / "recipe.json"
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{str(directory)!r} is not the directory of a recipe", str(error), "leave report.recipe out"
        ) from error
    stages = [
        {"name": each["name"], "wall_s": each["wall_s"], "counts": each["counts"]}
        for each in noted.pop("stages")
        if each["state"] != "skipped"
    ]
    return {**noted, "stages": stages}
