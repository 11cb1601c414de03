"""The general benchmarks as one stage: ask, store, grade, and write `suite.json`.

    agentray evaluate --suite general --model runs/train/model --out runs/general

The same command resumes an interrupted run, and grades a finished one again without asking the model.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from agentray import manifest
from agentray.cluster import connected
from agentray.config import SuiteConfig
from agentray.errors import PolicyError, UsageError, closest, without_secrets
from agentray.evaluate.stats import bootstrap_interval, mean_interval
from agentray.models import model_version, resolve_model
from agentray.policy.address import is_endpoint
from agentray.suites.asking import ask
from agentray.suites.benchmark import Answer, Benchmark, QuestionSet
from agentray.suites.gsm8k import Gsm8k
from agentray.suites.humaneval import HumanEval
from agentray.suites.instructions import Instructions
from agentray.suites.likelihood import Likelihoods, lm_eval_missing
from agentray.suites.loss import Loss
from agentray.suites.mmlu import Mmlu
from agentray.suites.mtbench import MtBench
from agentray.suites.respondents import check_judge, judge, named, of_model, of_text
from agentray.types import Progress, silent

RESULT = "suite.json"
SUITES = {"general": ("mmlu", "gsm8k", "humaneval", "mtbench", "instructions", "loss")}
"""Benchmarks of each suite, in the order in which they are reported."""


@dataclass(frozen=True)
class SuiteSummary:
    """How a model did; the content of `suite.json`."""

    suite: str
    policy: str
    tasks: Mapping[str, Mapping[str, Any]]
    """By benchmark: `score` on its `scale`, `n` graded, `failed`, `interval`, `stand_in`, `truncated` and its
    own figures; or `skipped` with the reason."""
    out: str | None
    wall_s: float
    versions: Mapping[str, str]
    commit: str | None


def run(config: SuiteConfig, progress: Progress = silent) -> SuiteSummary:
    """Run a suite.

    Raises:
        UsageError: The suite, a benchmark, a file or the model is unknown, or `out` holds another run.
        DataError: A file is not the benchmark's.
        PolicyError: The model or the judge cannot answer at all.
    """
    started = time.monotonic()
    names = _chosen(config)
    with ExitStack() as stack:
        out = config.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentray-suite-")))
        config = named(config, out)
        skipped, tasks = _prepared(config, names, out)
        rows = skipped | _rows(config, tasks, progress)
    summary = SuiteSummary(
        suite=config.suite,
        policy=without_secrets(config.policy),
        tasks={name: rows[name] for name in names},
        out=str(config.out) if config.out else None,
        wall_s=time.monotonic() - started,
        versions=manifest.versions(),
        commit=manifest.commit(),
    )
    if config.out is not None:
        _write(config, summary, tasks)
    return summary


def _chosen(config: SuiteConfig) -> list[str]:
    if config.suite not in SUITES:
        raise UsageError(
            f"unknown suite {config.suite!r}", closest(config.suite, SUITES), "give --suite general"
        )
    known = SUITES[config.suite]
    for name in config.tasks:
        if name not in known:
            raise UsageError(
                f"suite {config.suite!r} has no task {name!r}", closest(name, known), "give --task NAME"
            )
    return [name for name in known if name in config.tasks or not config.tasks]


class _Task(NamedTuple):
    """A benchmark that is run."""

    benchmark: Benchmark
    found: QuestionSet
    directory: Path
    """Where its answers are."""


def _prepared(
    config: SuiteConfig, names: Sequence[str], out: Path
) -> tuple[dict[str, dict[str, Any]], list[_Task]]:
    """Rows of the benchmarks that are skipped, and the others with all they need, checked before it costs."""
    everyone: list[Benchmark] = [
        Mmlu(),
        Gsm8k(),
        HumanEval(config.samples, config.temperature),
        MtBench(judge(config, out / MtBench.name), config.judge.max_attempts),
        Instructions(),
        Loss(),
    ]
    skipped: dict[str, dict[str, Any]] = {}
    tasks = []
    for benchmark in (each for each in everyone if each.name in names):
        why = benchmark.skipped() or (lm_eval_missing() if benchmark.asked_by != "reply" else None)
        if why is None:
            found = benchmark.questions(getattr(config.data, benchmark.name, None), config.seed)
            tasks.append(_Task(benchmark, found, out / benchmark.name))
        else:
            skipped[benchmark.name] = {"score": None, "skipped": why}
    if MtBench.name in (task.benchmark.name for task in tasks):
        check_judge(config.judge)
    if not is_endpoint(config.policy):
        resolve_model(config.policy)
    for task in tasks:
        _claim(task, config)
    return skipped, tasks


def _rows(config: SuiteConfig, tasks: Sequence[_Task], progress: Progress) -> dict[str, dict[str, Any]]:
    """Ask and grade all benchmarks; the model of log-likelihoods goes before the engine of replies comes."""
    rows = {}
    with ExitStack() as stack:
        if not is_endpoint(config.policy):
            from agentray.rollout.pool import kept_engines

            stack.enter_context(connected())
            stack.enter_context(kept_engines())
        with Likelihoods(lambda: of_text(config)) as likelihoods:
            for task in tasks:
                if task.benchmark.asked_by != "reply":
                    rows[task.benchmark.name] = _measured(config, task, likelihoods, progress)
        for task in tasks:
            if task.benchmark.asked_by == "reply":
                rows[task.benchmark.name] = _asked(config, task, progress)
    return rows


def _asked(config: SuiteConfig, task: _Task, progress: Progress) -> dict[str, Any]:
    """The row of a benchmark for which the model writes."""
    how = of_model(config, task.benchmark, task.directory)
    label = _labelled(progress, task.benchmark.name)
    answers, errors = ask(task.found.questions, how, num_tasks=config.num_tasks, progress=label)
    return _graded(task, answers, errors)


def _measured(
    config: SuiteConfig, task: _Task, likelihoods: Likelihoods, progress: Progress
) -> dict[str, Any]:
    """The row of a benchmark that is asked by log-likelihood."""
    questions = task.found.questions[: config.num_tasks]
    label = _labelled(progress, task.benchmark.name)
    file = task.directory / "likelihoods.jsonl"
    try:
        answers, too_long = likelihoods.answers(
            task.benchmark.asked_by, questions, file, lambda done: label(done, len(questions))
        )
    except PolicyError as error:
        return {"score": None, "skipped": f"{error.what}: {error.why}; {error.fix}"}
    left_out = [*task.found.left_out, *too_long]
    return _graded(task._replace(found=replace(task.found, left_out=left_out)), answers, ())


def _graded(task: _Task, answers: Sequence[Answer], errors: Sequence[str]) -> dict[str, Any]:
    """The row of a benchmark, from its answers and from why others were lost."""
    benchmark, found = task.benchmark, task.found
    row: dict[str, Any] = {
        "score": None,
        "scale": benchmark.scale,
        "n": 0,
        "failed": len(errors),
        "interval": None,
        "stand_in": found.stand_in,
        "truncated": sum(each.truncated for each in answers),
    }
    if found.left_out:
        row |= {"left_out": len(found.left_out), "left_out_first": found.left_out[0]}
    if errors:
        row["failed_first"] = errors[0]
    if not answers:
        return row
    grades = benchmark.grade(answers)
    if grades.values:
        interval = _interval(grades.values, benchmark.scale)
        row |= {
            "score": sum(grades.values) / len(grades.values),
            "n": len(grades.values),
            "interval": interval,
        }
    return {**row, **grades.extra}


def _interval(values: Sequence[float], scale: str) -> list[float]:
    """95 % confidence interval of the mean; that of a proportion where all values are 0 or 100 of 100."""
    if scale == "0-100":
        interval = mean_interval([each / 100 for each in values])
        return [100 * interval.low, 100 * interval.high]
    interval = bootstrap_interval(values)
    return [interval.low, interval.high]


def _claim(task: _Task, config: SuiteConfig) -> None:
    """Refuse a directory that holds answers to other questions, or of another model."""
    # The address of an endpoint may change; the model that it is asked for may not.
    policy = config.model if is_endpoint(config.policy) and config.model else without_secrets(config.policy)
    identity = {
        "policy": policy,
        "model_version": model_version(config.policy),
        "questions": _digest(task.found),
    }
    path = task.directory / "task.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before != identity:
            raise UsageError(
                f"{str(task.directory)!r} holds other answers",
                f"of {before} there, {identity} here",
                "give another --out",
            )
        return
    manifest.make_directory(task.directory)
    manifest.write_json(path, identity)


def _digest(found: QuestionSet) -> str:
    """Hash of all that is asked: 16 hex digits."""
    asked = [
        [each.id, each.turns, [asdict(m) for m in each.instruction], each.options] for each in found.questions
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _labelled(progress: Progress, name: str) -> Progress:
    """Progress that says which benchmark it is about."""

    def report(done: int, total: int, *, slowest: Sequence[str] = (), **fields: float | int | str) -> None:
        progress(done, total, slowest=slowest, **{"task": name, **fields})

    return report


def _write(config: SuiteConfig, summary: SuiteSummary, tasks: Sequence[_Task]) -> None:
    """The result, then the manifest that says it is complete."""
    assert config.out is not None
    manifest.write_json(config.out / RESULT, asdict(summary))
    inputs = {task.benchmark.name: _digest(task.found) for task in tasks}
    document = manifest.Manifest(
        "suite", config.model_dump(mode="json"), dict(summary.tasks), inputs, summary.wall_s
    )
    manifest.write(config.out, document)
