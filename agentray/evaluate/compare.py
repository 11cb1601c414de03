"""The report stage: two evaluations of one training run become `report.json` and `report.html`.

agentray report --before runs/base --after runs/tuned --train runs/train --out runs/report
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.config import ReportConfig
from agentray.data.records import messages
from agentray.data.store import read_run
from agentray.errors import DataError
from agentray.evaluate.power import detectable
from agentray.evaluate.report import Example, write_page
from agentray.evaluate.run import Score, score
from agentray.evaluate.stats import difference_interval, mcnemar, paired_permutation
from agentray.types import Trajectory


@dataclass(frozen=True)
class ReportSummary:
    """Where the report is, and its main figures."""

    json: str
    html: str
    scores: Mapping[str, Any]


def run(
    config: ReportConfig,
    *,
    stages: Sequence[Mapping[str, Any]] = (),
    more: Mapping[str, Any] | None = None,
) -> ReportSummary:
    """Compare two evaluations on the tasks that both scored.

    Args:
        config: Where the stages' outputs are.
        stages: Name, wall time and counts of each stage; by default as the manifests have them.
        more: Further top-level entries of `report.json`.

    Raises:
        UsageError: A directory does not exist or is not complete.
        DataError: The evaluations have no task in common.
    """
    before, after = read_run(config.before).trajectories, read_run(config.after).trajectories
    report: dict[str, Any] = {
        "stages": list(stages) or _stages(config),
        "scores": compare(before, after, config.env),
    }
    if config.benchmark_before and config.benchmark_after:
        report["agentbench_dev"] = _benchmark(config.benchmark_before, config.benchmark_after)
    if config.train:
        report |= _training(config.train)
    if config.filter:
        report["data"] = _data(config.filter, config.mix)
    report |= {"versions": manifest.versions(), "commit": manifest.commit()}
    report |= {"machine": manifest.machine(), "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    report |= more or {}
    config.out.mkdir(parents=True, exist_ok=True)
    manifest.write_json(config.out / "report.json", report)
    write_page(report, list(_examples(before, after)), config.out / "report.html")
    return ReportSummary(str(config.out / "report.json"), str(config.out / "report.html"), report["scores"])


def compare(
    before: Sequence[Trajectory],
    after: Sequence[Trajectory],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Scores before and after by environment, over the attempts that both policies were scored on.

    Raises:
        DataError: There is no such attempt.
    """
    first, second = _by_attempt(before), _by_attempt(after)
    both = sorted(first.keys() & second.keys())
    if not both:
        raise DataError(
            "the two evaluations have no scored attempt in common",
            f"{len(first)} attempts before, {len(second)} after",
            "evaluate both on the same split, tasks and seed",
        )
    scores_before = score([first[key] for key in both], settings)
    scores_after = score([second[key] for key in both], settings)
    compared = {}
    for env in scores_before:
        keys = [key for key in both if key[0] == env]
        pairs = [first[key].reward or 0.0 for key in keys], [second[key].reward or 0.0 for key in keys]
        compared[env] = _row(scores_before[env], scores_after[env], *pairs)
        if settings and env in settings:
            compared[env]["settings"] = dict(settings[env])
    return compared


def _by_attempt(trajectories: Iterable[Trajectory]) -> dict[tuple[str, str, int], Trajectory]:
    """Scored attempts by what pairs them: environment, task content and sample."""
    return {
        (each.task.env, each.task.fingerprint + each.task.id, each.sample): each
        for each in trajectories
        if each.reward is not None
    }


def _row(before: Score, after: Score, rewards: list[float], tuned: list[float]) -> dict[str, Any]:
    binary = all(reward in (0.0, 1.0) for reward in [*rewards, *tuned])
    test = mcnemar if binary else paired_permutation
    difference = difference_interval(rewards, tuned)
    return {
        "before": before.mean,
        "after": after.mean,
        "n": len(rewards),
        "before_interval": list(before.interval),
        "after_interval": list(after.interval),
        "p_value": test(rewards, tuned),
        "test": "exact McNemar" if binary else "paired permutation",
        "difference_interval": [difference.low, difference.high],
        "detectable": detectable(rewards, tuned),
        "family": before.family,
        "extra": {"before": dict(before.extra), "after": dict(after.extra)},
    }


def _benchmark(before: Path, after: Path) -> dict[str, Any]:
    """AgentBench's own records: its overall score and the accuracies that it averages."""
    scores = [score(read_run(path).trajectories)["database"] for path in (before, after)]
    names = sorted(set(scores[0].extra) & set(scores[1].extra))
    rows: dict[str, Any] = {
        name: {"before": scores[0].extra[name], "after": scores[1].extra[name]} for name in names
    }
    return {**rows, "n": scores[1].n}


def _training(directory: Path) -> dict[str, Any]:
    """Loss curves, and the general ability before and after."""
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


def _data(filtered: Path, mixed: Path | None) -> dict[str, Any]:
    counts = manifest.read(filtered).counts
    entry = {key: counts[key] for key in ("read", "kept", "rejected")}
    if mixed:
        mix = manifest.read(mixed).counts
        entry |= {"eta": mix["eta"], "realised": mix["realised"]}
    return entry


def _stages(config: ReportConfig) -> list[dict[str, Any]]:
    """Wall time of each finished stage, as its manifest has it."""
    named = {
        "filter": config.filter,
        "mix": config.mix,
        "evaluate before": config.before,
        "train": config.train,
        "evaluate after": config.after,
    }
    return [
        {"name": name, "wall_s": manifest.read(path).wall_s}
        for name, path in named.items()
        if path is not None
    ]


def _examples(before: Sequence[Trajectory], after: Sequence[Trajectory]) -> Iterable[Example]:
    """Per environment one that the tuned model won, if possible where the base lost, and one that it lost."""
    first = _by_attempt(before)
    for env in sorted({each.task.env for each in after}):
        mine = [each for each in after if each.task.env == env and each.reward is not None]
        won = [each for each in mine if (each.reward or 0) >= 1]
        lost = [each for each in mine if (each.reward or 0) < 1]
        gained = [each for each in won if _base_reward(first, each) < 1] or won
        for chosen, title in ((gained[:1], "won"), (lost[:1], "lost")):
            for each in chosen:
                yield Example(
                    env=env,
                    title=f"{each.task.id}: {title} in {len(each.turns)} turns",
                    won=title == "won",
                    task=each.prompt[-1].content if each.prompt else each.task.id,
                    messages=messages(each),
                )


def _base_reward(first: Mapping[tuple[str, str, int], Trajectory], tuned: Trajectory) -> float:
    base = first.get((tuned.task.env, tuned.task.fingerprint + tuned.task.id, tuned.sample))
    return base.reward or 0.0 if base else 0.0
