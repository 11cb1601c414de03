"""The quickstart: the whole loop on this machine, with real weights, ending in a report and a model to serve.

    agentray quickstart --out runs/quickstart

Every stage is the one its own command runs, so an interrupted quickstart goes on where it stopped.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from agentray import manifest
from agentray.cli import console
from agentray.cluster import connected
from agentray.config import (
    EngineConfig,
    EnvSettings,
    EvaluateConfig,
    FilterConfig,
    GeneralSource,
    MixConfig,
    OptimizerConfig,
    ReportConfig,
    RolloutConfig,
    SamplingConfig,
    Settings,
    TrainConfig,
)
from agentray.env import build, resolve
from agentray.recipes import pace
from agentray.types import Progress, silent

_T = TypeVar("_T")
_ENGINE = EngineConfig(max_model_len=2048, kv_cache_gib=2, max_num_seqs=128)
"""Its cache holds all conversations of the tests at once; with less, prompts are computed again and again."""
_TEMPERATURE = 0.5
"""Of the base model's answers to general prompts; it is distilled at the same temperature."""
_SAMPLING = SamplingConfig(max_tokens=100)
"""Of the tests. No reply that won had more than 92 tokens; the base model's nonsense has no end."""
_HOUSEHOLD_TURNS = 20
"""Replies in a household test, of both models: the expert takes at most 19, and no test was won with more."""


class QuickstartConfig(Settings):
    """Sizes of the quickstart, chosen for two cores and six minutes."""

    out: Path = Path("runs/quickstart")
    """Where everything goes: a directory per stage, `report.json`, `report.html` and `model/`."""
    model: str = "smollm2-135m"
    """Base model."""
    num_database: int = Field(350, ge=1)
    """Expert database trajectories to collect."""
    database_requests: Literal["plain", "free"] = "plain"
    """Wording of the database requests, in training and in the test alike; see the environment's README."""
    num_alfworld: int = Field(70, ge=0)
    """Expert household trajectories to collect; 0 leaves the household out."""
    num_general: int = Field(120, ge=20)
    """Answers of the base model to general prompts."""
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of these answers kept out of training, to measure what was forgotten."""
    eta: float = Field(0.8, ge=0, le=1)
    """Share of agent samples in training."""
    num_steps: int = Field(44, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(12, ge=1)
    """Samples a step."""
    learning_rate: float = Field(3.1e-4, gt=0)
    """Peak learning rate."""
    frozen_layers: int = Field(10, ge=0)
    """Lowest layers that keep their weights."""
    num_test: int = Field(40, ge=1)
    """Unseen tasks per environment to score on, before and after."""
    benchmark: Path | None = None
    """AgentBench's database records, `data/dbbench/dev.jsonl` of its repository: scored too, never trained
    on. None leaves that figure out."""
    minutes: float | None = Field(None, gt=0)
    """Time it may take: steps, tests and answers are cut to fit it. None keeps them."""


def run(config: QuickstartConfig) -> dict[str, Any]:
    """The whole loop; returns the report.

    Raises:
        UsageError: A setting is wrong, or `benchmark` is no file of such records.
        AgentrayError: As the stages do.
    """
    return _Quickstart(config).run()


def general_answers(config: QuickstartConfig) -> RolloutConfig:
    """How the base model answers general prompts."""
    return RolloutConfig(
        envs=["general"],
        out=config.out / "general",
        policy=config.model,
        num_tasks=config.num_general,
        sampling=SamplingConfig(temperature=_TEMPERATURE, max_tokens=64),
        engine=_ENGINE,
    )


def training(config: QuickstartConfig, data: Path, out: Path) -> TrainConfig:
    """How the model is trained on a mixture."""
    return TrainConfig(
        data=data,
        model=config.model,
        out=out,
        num_steps=config.num_steps,
        batch_size=config.batch_size,
        frozen_layers=config.frozen_layers,
        row_tokens=2048,
        distillation=1.0,
        distillation_temperature=_TEMPERATURE,
        optimizer=OptimizerConfig(learning_rate=config.learning_rate, warmup_ratio=0.06),
    )


class _Meanwhile(Generic[_T]):
    """Work in a thread of its own, which does not outlive the program: stages can be resumed."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self._work, self._begun = work, False
        self._future: Future[_T] = Future()

    def start(self) -> None:
        """Begin, unless it has begun."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, daemon=True).start()

    def after(self, progress: Progress) -> Progress:
        """`progress`, whose first report begins this: the run that reports has its engine, to be shared."""

        def report(done: int, total: int, **fields: Any) -> None:
            self.start()
            progress(done, total, **fields)

        return report

    def result(self) -> _T:
        """What came of it; waits, and raises what it raised."""
        self.start()
        return self._future.result()

    def _run(self) -> None:
        try:
            self._future.set_result(self._work())
        except BaseException as problem:
            self._future.set_exception(problem)


class _Quickstart:
    """The stages in order, each timed."""

    def __init__(self, config: QuickstartConfig) -> None:
        self._out = config.out
        self._stages: list[dict[str, Any]] = []
        # The household's long episodes come first, so that the short ones fill the engine while they end.
        sizes = {"alfworld": config.num_alfworld, "database": config.num_database}
        self._sizes = {env: size for env, size in sizes.items() if size}
        self._settings: EnvSettings = {
            "database": {"requests": config.database_requests},
            "alfworld": {"max_turns": _HOUSEHOLD_TURNS},
        }
        self._settings = {env: self._settings[env] for env in self._sizes}
        if config.benchmark is None:
            how = "--set quickstart.benchmark=FILE"
            print(f"AgentBench's records are not given ({how}): their figure is left out", file=sys.stderr)
        else:
            build(resolve("database", {"data": str(config.benchmark)}))
        self._config, self._fit = pace.plan(config)
        self._pace = pace.Pace(self._fit["stages_s"])

    def run(self) -> dict[str, Any]:
        """All stages."""
        started = time.monotonic()
        manifest.make_directory(self._out)
        manifest.write_json(self._out / pace.PLAN, self._fit)
        print(pace.announcement(self._fit), file=sys.stderr, flush=True)
        weights = _Meanwhile(self._fetch)
        with pace.peak_memory() as peak:
            weights.start()
            with connected():
                self._stage("rollout", self._rollout)
                self._stage("weights", lambda progress: weights.result())
                self._base_model()
                self._stage("filter", self._filter)
                self._stage("mix", self._mix)
                self._stage("train", self._train)
                self._tuned_model()
        more = {
            "peak_memory_bytes": peak(),
            "wall_s": round(time.monotonic() - started, 1),
            "env": self._settings,
            "pace": self._fit,
            "serve_command": f"{_typed()} serve --model {shlex.quote(str(self._out / 'model'))} --port 8000",
        }
        return self._report(more)

    def _stage(self, name: str, work: Callable[[Progress], Mapping[str, Any]]) -> None:
        """Do a stage's work and say what came of it: a bar on a terminal meanwhile, one line at the end."""
        started = time.monotonic()
        if sys.stderr.isatty():
            with console.progress(f"{name:<16}") as progress:
                counts = work(progress)
        else:
            with redirect_stdout(sys.stderr):
                counts = work(silent)
        wall_s = time.monotonic() - started
        self._stages.append({"name": name, "wall_s": round(wall_s, 1), "counts": dict(counts)})
        print(self._pace.end(name, pace.shown(counts), wall_s), file=sys.stderr, flush=True)

    def _fetch(self) -> Mapping[str, Any]:
        from agentray.models import resolve_model

        directory = resolve_model(self._config.model, lambda line: None)
        return {"model": self._config.model, "path": directory}

    def _rollout(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.rollout.run import run

        counts = {}
        for env, num_tasks in self._sizes.items():
            out = self._out / "rollout" / env
            config = RolloutConfig(envs=[env], out=out, num_tasks=num_tasks, env={env: self._settings[env]})
            counts[env] = run(config, progress).completed
        return counts

    def _base_model(self) -> None:
        """The base model's answers to general prompts, and at the same time its scores: one engine for both.

        With more replies at once the engine makes more tokens a second. `evaluate base` counts what was left.
        """
        from agentray.rollout.pool import kept_engines

        scores = _Meanwhile(partial(self._evaluate, self._config.model, "before", silent))
        with kept_engines():
            self._stage("distill", lambda progress: self._distill(scores.after(progress)))
            self._stage("evaluate base", lambda progress: scores.result())

    def _distill(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.rollout.run import run

        done = run(general_answers(self._config), progress)
        return {"answers": done.completed, "tokens": done.completion_tokens}

    def _filter(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.transforms.filtering import run

        runs = [self._out / "rollout" / env for env in self._sizes]
        done = run(FilterConfig(runs=runs, out=self._out / "filter", env=self._settings))
        progress(1, 1, kept=done.kept)
        return {"read": done.read, "kept": done.kept, "rejected": dict(done.rejected)}

    def _mix(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.mix.corpus import run

        done = run(
            MixConfig(
                agent=[self._out / "filter"],
                general=[GeneralSource(path=self._out / "general", name="general")],
                out=self._out / "mix",
                model=self._config.model,
                eta=self._config.eta,
                validation_fraction=self._config.validation_fraction,
            )
        )
        progress(1, 1)
        return {"tokens": dict(done.tokens), "realised": dict(done.realised)}

    def _train(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.train.run import run

        done = run(training(self._config, self._out / "mix", self._out / "train"), progress)
        link = self._out / "model"
        if not link.exists():
            link.symlink_to(Path("train") / "model", target_is_directory=True)
        return {"steps": done.num_steps, "tokens": done.tokens, "tokens_per_s": done.tokens_per_s}

    def _tuned_model(self) -> None:
        """The tuned model's scores, in an engine as the base model's: the same path for both."""
        from agentray.rollout.pool import kept_engines

        with kept_engines():
            self._stage("evaluate tuned", partial(self._evaluate, str(self._out / "model"), "after"))

    def _evaluate(self, policy: str, when: str, progress: Progress) -> Mapping[str, Any]:
        """Score a model on the test tasks, and meanwhile on the benchmark's records: the engine has room."""
        from agentray.evaluate.run import run

        shared: dict[str, Any] = {"policy": policy, "engine": _ENGINE, "sampling": _SAMPLING}
        records = None
        if self._config.benchmark is not None:
            config = EvaluateConfig(
                envs=["database"],
                out=self._out / f"agentbench-{when}",
                num_tasks=pace.BENCHMARK_TASKS,
                num_workers=1,
                env={"database": {"data": str(self._config.benchmark)}},
                **shared,
            )
            records = _Meanwhile(partial(run, config))
            progress = records.after(progress)
        config = EvaluateConfig(
            envs=list(self._sizes),
            out=self._out / when,
            num_tasks=self._config.num_test,
            env=self._settings,
            **shared,
        )
        counts = {env: score.mean for env, score in run(config, progress).scores.items()}
        if records is not None:
            scores = records.result().scores
            counts["agentbench_dev"] = scores["database"].extra["overall_cat_accuracy"]
        return counts

    def _report(self, more: Mapping[str, Any]) -> dict[str, Any]:
        from agentray.report.run import run

        benchmark = self._config.benchmark is not None
        done = run(
            ReportConfig(
                runs=[self._out / "before", self._out / "after"],
                out=self._out,
                train=self._out / "train",
                filter=self._out / "filter",
                mix=self._out / "mix",
                benchmark_before=self._out / "agentbench-before" if benchmark else None,
                benchmark_after=self._out / "agentbench-after" if benchmark else None,
                env=self._settings,
            ),
            stages=self._stages,
            more=more,
        )
        report: dict[str, Any] = json.loads(Path(done.json).read_text(encoding="utf-8"))
        manifest.write(
            self._out,
            manifest.Manifest(
                "quickstart", self._config.model_dump(mode="json"), {"scores": report["scores"]}
            ),
        )
        return report


def conclude(config: QuickstartConfig, report: Mapping[str, Any]) -> None:
    """Print the result: a table, where the time went, the report's path and the command to serve."""
    rows = {
        env: {"before": score["before"], "after": score["after"], "unseen tasks": score["n"]}
        for env, score in report["scores"].items()
    }
    overall = report.get("agentbench_dev", {}).get("overall_cat_accuracy")
    if overall:
        rows["AgentBench dev records"] = {**overall, "unseen tasks": report["agentbench_dev"]["n"]}
    general = report.get("general")
    if general:
        rows["general loss (nats)"] = {"before": general["before_nll"], "after": general["after_nll"]}
    console.table(rows)
    console.lines([f"cut to fit the budget: {each}" for each in pace.reductions(report["pace"])])
    console.table({stage["name"]: {"seconds": stage["wall_s"]} for stage in report["stages"]})
    console.lines(
        [
            f"{report['wall_s']:.0f} s, at most {report['peak_memory_bytes'] / 2**30:.1f} GiB of memory",
            f"report: {config.out / 'report.html'}",
            f"serve:  {report['serve_command']}",
        ]
    )


def _typed() -> str:
    """How this program was called, so that what it proposes works when typed: it may not be on the PATH."""
    program = Path(sys.argv[0])
    if program.name != "agentray":
        return f"{shlex.quote(sys.executable)} -m agentray"
    return "agentray" if shutil.which("agentray") == str(program) else shlex.quote(str(program))
