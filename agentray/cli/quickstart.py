"""The quickstart: the whole loop on this machine, with real weights, ending in a report and a model to serve.

    agentray quickstart --out runs/quickstart

Every stage is the one its own command runs, so an interrupted quickstart goes on where it stopped.
"""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
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
    ServeConfig,
    Settings,
    TrainConfig,
)
from agentray.env import build, resolve
from agentray.types import Progress

_T = TypeVar("_T")
_SERVED_NAME = "agentlm"
_ENGINE = EngineConfig(max_model_len=2048, kv_cache_gib=2)
"""Its cache holds all conversations of the test at once; with less, prompts are computed again and again."""
_TEMPERATURE = 0.5
"""Of the base model's answers to general prompts; it is distilled at the same temperature."""


class QuickstartConfig(Settings):
    """Sizes of the quickstart, chosen for two cores and ten minutes."""

    out: Path = Path("runs/quickstart")
    """Where everything goes: a directory per stage, `report.json`, `report.html` and `model/`."""
    model: str = "smollm2-135m"
    """Base model."""
    num_database: int = Field(400, ge=1)
    """Expert database trajectories to collect."""
    database_requests: Literal["plain", "free"] = "plain"
    """Wording of the database requests, in training and in the test alike; see the environment's README."""
    num_alfworld: int = Field(100, ge=0)
    """Expert household trajectories to collect; 0 leaves the household out."""
    num_general: int = Field(180, ge=20)
    """Answers of the base model to general prompts."""
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of these answers kept out of training, to measure what was forgotten."""
    eta: float = Field(0.8, ge=0, le=1)
    """Share of agent samples in training."""
    num_steps: int = Field(43, ge=1)
    """Optimizer steps."""
    batch_size: int = Field(16, ge=1)
    """Samples a step."""
    learning_rate: float = Field(3.1e-4, gt=0)
    """Peak learning rate."""
    frozen_layers: int = Field(4, ge=0)
    """Lowest layers that keep their weights."""
    num_test: int = Field(40, ge=1)
    """Unseen tasks per environment to score on, before and after."""
    benchmark: Path | None = None
    """AgentBench's database records, `data/dbbench/dev.jsonl` of its repository: scored too, never trained
    on. None leaves that figure out."""


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
        sampling=SamplingConfig(temperature=_TEMPERATURE, max_tokens=80),
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
        row_tokens=4096,
        distillation=1.0,
        distillation_temperature=_TEMPERATURE,
        optimizer=OptimizerConfig(learning_rate=config.learning_rate, warmup_ratio=0.06),
    )


class _Meanwhile(Generic[_T]):
    """Work in a thread of its own, which does not outlive the program: stages can be resumed."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self._future: Future[_T] = Future()
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Callable[[], _T]) -> None:
        try:
            self._future.set_result(work())
        except BaseException as problem:
            self._future.set_exception(problem)

    def result(self) -> _T:
        """What came of it; waits, and raises what it raised."""
        return self._future.result()


class _Quickstart:
    """The stages in order, each timed."""

    def __init__(self, config: QuickstartConfig) -> None:
        self._config, self._out = config, config.out
        self._stages: list[dict[str, Any]] = []
        self._engine = _ENGINE
        # The household's long episodes come first, so that the short ones fill the engine while they end.
        sizes = {"alfworld": config.num_alfworld, "database": config.num_database}
        self._sizes = {env: size for env, size in sizes.items() if size}
        self._settings: EnvSettings = {"database": {"requests": config.database_requests}}
        if config.benchmark is None:
            how = "--set quickstart.benchmark=FILE"
            print(f"AgentBench's records are not given ({how}): their figure is left out", file=sys.stderr)
        else:
            build(resolve("database", {"data": str(config.benchmark)}))

    def run(self) -> dict[str, Any]:
        """All stages."""
        started = time.monotonic()
        manifest.make_directory(self._out)
        with _peak_memory() as peak, connected():
            self._stage("weights", self._weights)
            self._stage("rollout", self._rollout)
            self._base_model()
            self._stage("filter", self._filter)
            self._stage("mix", self._mix)
            self._stage("train", self._train)
            self._tuned_model()
        more = {
            "peak_memory_bytes": peak(),
            "wall_s": round(time.monotonic() - started, 1),
            "env": self._settings,
            "serve_command": f"{_typed()} serve --model {shlex.quote(str(self._out / 'model'))} --port 8000",
        }
        return self._report(more)

    def _stage(self, name: str, work: Callable[[Progress], Mapping[str, Any]]) -> None:
        started = time.monotonic()
        with console.progress(f"{name:<16}") as progress:
            counts = work(progress)
        self._stages.append(
            {"name": name, "wall_s": round(time.monotonic() - started, 1), "counts": dict(counts)}
        )

    def _weights(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.models import resolve_model

        directory = resolve_model(self._config.model)
        progress(1, 1)
        return {"model": self._config.model, "path": directory}

    def _rollout(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.rollout.run import run

        counts = {}
        for env, num_tasks in self._sizes.items():
            out = self._out / "rollout" / env
            config = RolloutConfig(envs=[env], out=out, num_tasks=num_tasks, env=self._settings)
            counts[env] = run(config, progress).completed
        return counts

    def _base_model(self) -> None:
        """The base model's answers to general prompts, and its scores: one engine for both."""
        from agentray.rollout.pool import kept_engines

        with kept_engines():
            self._stage("distill", self._distill)
            self._stage("evaluate base", partial(self._evaluate, self._config.model, "before"))

    def _distill(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.rollout.run import run

        done = run(general_answers(self._config), progress)
        return {"answers": done.completed, "tokens": done.completion_tokens}

    def _filter(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.data.filtering import run

        runs = [self._out / "rollout" / env for env in self._sizes]
        done = run(FilterConfig(runs=runs, out=self._out / "filter", env=self._settings))
        progress(1, 1, kept=done.kept)
        return {"read": done.read, "kept": done.kept, "rejected": dict(done.rejected)}

    def _mix(self, progress: Progress) -> Mapping[str, Any]:
        from agentray.train.corpus import run

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
        """Serve the tuned model as a user would, and score it through its endpoint."""
        from agentray.serving.run import serving

        started = time.monotonic()
        config = ServeConfig(
            model=str(self._out / "model"), name=_SERVED_NAME, port=_free_port(), engine=self._engine
        )
        with serving(config) as url:
            self._stages.append({"name": "serve", "wall_s": round(time.monotonic() - started, 1)})
            self._stage("evaluate tuned", partial(self._evaluate, url, "after"))

    def _evaluate(self, policy: str, when: str, progress: Progress) -> Mapping[str, Any]:
        """Score a model on the test tasks, and meanwhile on the benchmark's records: the engine has room."""
        from agentray.evaluate.run import run

        settings = {"model": _SERVED_NAME} if policy.startswith("http") else {}
        shared: dict[str, Any] = {"policy": policy, "engine": self._engine, **settings}
        records = None
        if self._config.benchmark is not None:
            config = EvaluateConfig(
                envs=["database"],
                out=self._out / f"agentbench-{when}",
                num_tasks=60,
                num_workers=1,
                env={"database": {"data": str(self._config.benchmark)}},
                **shared,
            )
            records = _Meanwhile(partial(run, config))
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
        from agentray.evaluate.report.run import run

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
    console.table({stage["name"]: {"seconds": stage["wall_s"]} for stage in report["stages"]})
    console.lines(
        [
            f"{report['wall_s']:.0f} s, at most {report['peak_memory_bytes'] / 2**30:.1f} GiB of memory",
            f"report: {config.out / 'report.html'}",
            f"serve:  {report['serve_command']}",
        ]
    )


@contextmanager
def _peak_memory() -> Iterator[Callable[[], int]]:
    """Watch the machine's available memory; the result is its largest drop so far, in bytes.

    A drop counts everything that was started, Ray's daemons and shared memory included, and counts it once.
    """
    from agentray.serving.run import available_bytes

    before = available_bytes() or 0
    lowest = before
    stop = threading.Event()

    def watch() -> None:
        nonlocal lowest
        while not stop.wait(0.5):
            lowest = min(lowest, available_bytes() or lowest)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: before - lowest
    finally:
        stop.set()
        thread.join()


def _typed() -> str:
    """How this program was called, so that what it proposes works when typed: it may not be on the PATH."""
    program = Path(sys.argv[0])
    if program.name != "agentray":
        return f"{shlex.quote(sys.executable)} -m agentray"
    return "agentray" if shutil.which("agentray") == str(program) else shlex.quote(str(program))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
