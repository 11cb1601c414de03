"""The general benchmarks as one stage: ask, store, grade, and write `suite.json`.

    agentray evaluate --suite general --data data --model runs/train/model --out runs/general
    agentray evaluate --suite ifeval,gsm8k --data data --model runs/train/model --out runs/lm-eval

The same command resumes an interrupted run, and grades a finished one again without asking the model.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.cluster import connected
from agentray.config import SuiteConfig
from agentray.errors import AgentrayError, PolicyError, UsageError, closest, without_secrets
from agentray.models import model_version, resolve_model
from agentray.policy.address import is_endpoint
from agentray.stage import Stage
from agentray.suites.benchmark import BENCHMARKS
from agentray.suites.likelihood import Likelihoods, lm_eval_missing
from agentray.suites.respondents import check_judge, judge, named, of_text
from agentray.suites.rows import Harness, Ours, Row
from agentray.types import Progress, silent

RESULT = "suite.json"
GENERAL = {
    "mmlu": "mmlu",
    "gsm8k": "gsm8k_dialogue",
    "humaneval": "humaneval",
    "mtbench": "mtbench",
    "instructions": "instructions",
    "loss": "loss",
}
"""The suite `general`: the paper's benchmarks and two of our own, in the order in which they are reported."""
_FEWSHOT = {"mmlu": 5}
"""The paper's worked examples, where lm-eval's task has another number."""


@dataclass(frozen=True)
class SuiteSummary:
    """How a model did; the content of `suite.json`."""

    suite: str
    policy: str
    tasks: Mapping[str, Mapping[str, Any]]
    """By benchmark: `score` on its `scale`, `n` graded, `failed`, `interval`, `truncated` and its own
    figures; or `skipped` with the reason."""
    out: str | None
    wall_s: float
    versions: Mapping[str, str]
    commit: str | None


def run(config: SuiteConfig, progress: Progress = silent) -> SuiteSummary:
    """Run a suite.

    Raises:
        UsageError: A benchmark, a file or the model is unknown, or `out` holds another run.
        DataError: A file is not the benchmark's.
        PolicyError: The model or the judge cannot answer at all.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # lm-eval's bars; progress is this stage's to report
    chosen = _chosen(config)
    if config.data is not None and not config.data.is_dir():
        raise UsageError(
            f"there is no data in {str(config.data)!r}",
            f"{str(config.data)!r} is not a directory",
            "give --data DIR with a folder for each benchmark",
        )
    with ExitStack() as stack:
        out = config.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="agentray-suite-")))
        config = named(config, out)
        if not is_endpoint(config.policy):
            resolve_model(config.policy)
        if config.judge.url is not None and "mtbench" in chosen.values():
            check_judge(config.judge)
        rows, skipped = _rows(config, chosen, out)
        # lm-eval's groups have many results, and settings say what may be asked more of.
        stage = Stage("suite", config, out, SuiteSummary, identity=_identity(config))
        stage.begin()
        results = skipped | _answered(config, rows, progress)
        ordered = [*chosen, *(name for name in results if name not in chosen)]
        summary = SuiteSummary(
            suite=config.suite,
            policy=without_secrets(config.policy),
            tasks={name: results[name] for name in ordered if name in results},
            out=str(config.out) if config.out else None,
            wall_s=stage.wall_s,
            versions=manifest.versions(),
            commit=manifest.commit(),
        )
        manifest.write_json(out / RESULT, asdict(summary))
        return stage.complete(summary)


def _chosen(config: SuiteConfig) -> dict[str, str]:
    """Benchmarks by the name under which they are reported.

    Raises:
        UsageError: A name is unknown or stands twice.
    """
    names = [each.strip() for each in config.suite.split(",")]
    if names == ["general"]:
        for name in config.tasks:
            if name not in GENERAL:
                raise UsageError(
                    f"suite 'general' has no task {name!r}", closest(name, GENERAL), "give --task NAME"
                )
        return {row: name for row, name in GENERAL.items() if row in config.tasks or not config.tasks}
    if config.tasks or "general" in names or len(set(names)) < len(names):
        raise UsageError(
            f"--suite {config.suite!r} is not a list of different benchmarks",
            "general is a suite of its own, and --task chooses from it",
            "give --suite general --task NAME, or --suite NAME,NAME",
        )
    for name in names:
        if name not in BENCHMARKS.names():
            _check_known(name)
    return dict(zip(names, names, strict=True))


def _check_known(name: str) -> None:
    """Check that lm-eval has a task.

    Raises:
        UsageError: There is no such task, or lm-eval is not installed.
    """
    if (why := lm_eval_missing()) is not None:
        raise UsageError(f"unknown benchmark {name!r}", why, "install it for lm-eval's tasks")
    from agentray.suites.harness import known

    known(name, ["general", *BENCHMARKS.names()])


def _rows(
    config: SuiteConfig, chosen: Mapping[str, str], out: Path
) -> tuple[list[Row], dict[str, dict[str, Any]]]:
    """The benchmarks with all they need, checked before anything is paid for, and why others are skipped.

    A benchmark without data is skipped in a whole suite of which others have data, else it is an error.
    """
    ask_judge = judge(config, out / "mtbench")
    rows: list[Row] = []
    skipped: dict[str, dict[str, Any]] = {}
    errors: list[AgentrayError] = []
    whole = config.suite == "general" and not config.tasks
    for name, benchmark in chosen.items():
        row: Row
        if benchmark in BENCHMARKS.names():
            row = Ours(name, BENCHMARKS.load(benchmark).from_settings(config, ask_judge))
        else:
            row = Harness(name, benchmark, _FEWSHOT.get(name) if config.suite == "general" else None)
        why = row.skipped()
        try:
            if why is None:
                row.prepare(config, out / name)
                rows.append(row)
        except AgentrayError as error:
            if not whole:
                raise
            errors.append(error)
            why = f"{error.what}: {error.why}; {error.fix}"
        if why is not None:
            skipped[name] = {"score": None, "skipped": why}
    if errors and not rows:
        raise errors[0]
    return rows, skipped


def _answered(config: SuiteConfig, rows: Sequence[Row], progress: Progress) -> dict[str, dict[str, Any]]:
    """Results of benchmarks. Likelihoods come first: their model frees its memory before the engine loads."""
    results: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        if not is_endpoint(config.policy):
            from agentray.rollout.engines import ENGINES

            stack.enter_context(connected())
            stack.enter_context(ENGINES.kept())
        for asked_by in ("likelihood", "reply"):
            with Likelihoods(lambda: of_text(config)) as likelihoods:
                for row in rows:
                    if row.asked_by == asked_by:
                        results |= _answer(row, config, likelihoods, progress)
    return results


def _answer(
    row: Row, config: SuiteConfig, likelihoods: Likelihoods, progress: Progress
) -> dict[str, dict[str, Any]]:
    try:
        return row.answer(config, likelihoods, _labelled(progress, row.name))
    except PolicyError as error:
        if row.asked_by == "reply":
            raise
        return {row.name: {"score": None, "skipped": f"{error.what}: {error.why}; {error.fix}"}}


def _identity(config: SuiteConfig) -> dict[str, Any]:
    """What makes answers others; which benchmarks, and how much of them, may change from run to run."""
    # The address of an endpoint may change; the model that it is asked for may not.
    policy = config.model if is_endpoint(config.policy) and config.model else without_secrets(config.policy)
    settings = config.model_dump(
        mode="json", include={"samples", "temperature", "max_tokens", "seed", "tokenizer"}
    )
    engine = config.engine.model_dump(mode="json", include={"dtype", "max_model_len", "template"})
    return {"policy": policy, "model_version": model_version(config.policy), **settings, "engine": engine}


def _labelled(progress: Progress, name: str) -> Progress:
    """Progress that says which benchmark it is about."""

    def report(done: int, total: int, *, slowest: Sequence[str] = (), **fields: float | int | str) -> None:
        progress(done, total, slowest=slowest, **{"task": name, **fields})

    return report
