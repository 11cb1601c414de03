"""The train stage: supervised fine-tuning with Ray Train and DeepSpeed.

    agentray train --data runs/mixed --model smollm2-135m --out runs/train --num-steps 100

Output: `metrics.jsonl`, a line a step, and `model/`, a directory that `transformers` and vLLM load. The same
command resumes from the last checkpoint.
"""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from agentray import manifest
from agentray.cluster import connected
from agentray.config import TrainConfig
from agentray.errors import AgentrayError, MissingDependencyError, ResourceError, UsageError
from agentray.mix.corpus import corpus_digest, read_corpus
from agentray.models import CARD, resolve_model
from agentray.stage import PLAN, Stage
from agentray.train import failure
from agentray.train.batches import stream_of
from agentray.train.checks import check_corpus, tokenizer_of
from agentray.train.export import rehearse
from agentray.train.methods import build
from agentray.train.metrics import METRICS, read_metrics
from agentray.train.worker import PARITY, train_loop
from agentray.types import Progress, silent


@dataclass(frozen=True)
class TrainSummary:
    """What training did."""

    out: str
    model: str
    """Directory of the tuned model."""
    num_steps: int
    tokens: int
    """Tokens computed, over all steps of this run."""
    loss_tokens: int
    """Tokens that carried loss."""
    tokens_per_s: float
    first_loss: float
    last_loss: float
    validation_before: Mapping[str, float]
    """Mean loss per token on each general validation source, before the first step."""
    validation_after: Mapping[str, float]
    """The same after the last step."""
    wall_s: float
    parity: Mapping[str, Any] = field(default_factory=dict)
    """How the loss compares with the plain model's; see `agentray.train.parity.Parity`."""


def run(config: TrainConfig, progress: Progress = silent) -> TrainSummary:
    """Fine-tune a model on a mixture.

    Raises:
        UsageError: The data, model, method or proportions are wrong, or `out` holds another run.
        DataError: The corpus does not fit the model, the model could not be saved again, or training would
            not compute its loss.
        MissingDependencyError: torch, DeepSpeed or Ray Train is not installed.
        ResourceError: The cluster cannot hold the workers, or training failed; the error says where the
            weights so far are.
    """
    method = build(config.method)
    stage = Stage(
        "train",
        config,
        config.out,
        TrainSummary,
        inputs=[config.data],
        identity=identity(config),
        growing=["num_steps"],
    )
    done = stage.finished()
    if done is not None:
        return done
    corpus = read_corpus(config.data)
    stream = stream_of(corpus, config)
    model = resolve_model(config.model)
    method.check(model)
    tokenizer = tokenizer_of(model, corpus)
    check_corpus(corpus, config.data, model, tokenizer)
    _check_steps(config)
    stage.begin()
    rehearse(model, tokenizer, config.out)
    with connected(), _watched(config, progress):
        _fit(config, model)
    tokenizer.save_pretrained(config.out / "model")
    card = {
        "base_model": config.model,
        "checkpoint": f"step-{config.num_steps}",
        "eta": corpus.eta if config.eta is None else config.eta,
        "dataset": manifest.digest(config.data),
        "sources": {share.name: round(share.probability, 6) for share in stream.shares},
        "weights": [manifest.digest(each) for each in sorted((config.out / "model").glob("*.safetensors"))],
    }
    manifest.write_json(config.out / "model" / CARD, card)
    return stage.complete(_summary(config, stage.wall_s))


def _fit(config: TrainConfig, model: str) -> None:
    """Run the workers to the end, restarting them from the last checkpoint when they die."""
    try:
        if importlib.util.find_spec("deepspeed") is None:  # importing it here would print to stdout
            raise ImportError("no module named 'deepspeed'")
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError

        from agentray.train.trainer import Trainer
    except ImportError as error:
        raise MissingDependencyError(
            "training needs torch, DeepSpeed and Ray Train", str(error), 'pip install "agentray[train]"'
        ) from error
    trainer = Trainer(
        train_loop,
        train_loop_config={
            "config": absolute(config).model_dump(mode="json"),
            "model": model,
        },
        scaling_config=ScalingConfig(
            num_workers=config.num_workers,
            use_gpu=config.gpus_per_worker > 0,
            resources_per_worker={"CPU": 1, "GPU": config.gpus_per_worker}
            if config.gpus_per_worker
            else {"CPU": 1},
        ),
        run_config=RunConfig(
            name="ray_train",
            storage_path=str(config.out.resolve()),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=config.max_failures),
        ),
    )
    failure.clear(config.out)
    try:
        trainer.fit()
    except TrainingFailedError as error:
        found = failure.read(config.out)
        raise found.error() if found else _explain(error) from error
    found = failure.read(config.out)
    failure.clear(config.out)  # a restart fixed one that is not final
    if found and found.final:
        raise found.error()


def _explain(error: Exception) -> AgentrayError:
    """The user's error inside Ray Train's, or the first worker's last words."""
    failures = list(getattr(error, "worker_failures", {}).values()) or [error]
    first = getattr(failures[0], "_base_exc", failures[0])
    if isinstance(first, AgentrayError):
        return first
    last_words = str(first).strip().splitlines() or ["no message"]
    return ResourceError(
        "a training worker failed",
        f"{type(first).__name__}: {last_words[-1]}",
        "see /tmp/ray/session_latest/logs/train; the same command goes on from the last checkpoint",
    )


def absolute(config: TrainConfig) -> TrainConfig:
    """The same settings for a process with another working directory, as Ray's workers have."""
    return config.model_copy(update={"out": config.out.resolve(), "data": config.data.resolve()})


@contextmanager
def _watched(config: TrainConfig, progress: Progress) -> Iterator[None]:
    """Report the steps that the workers log, while they log them."""
    stop = threading.Event()
    path = config.out / METRICS

    def watch() -> None:
        while not stop.wait(0.5):
            steps = read_metrics(path)
            if steps:
                last = steps[-1]
                shown = {"loss": round(last["loss"], 4), "tokens_per_s": last["tokens_per_s"]}
                progress(last["step"], config.num_steps, **shown)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _summary(config: TrainConfig, wall_s: float) -> TrainSummary:
    steps = read_metrics(config.out / METRICS)
    if not steps or steps[-1]["step"] != config.num_steps:
        raise ResourceError(
            "training ended before its last step",
            f"{len(steps)} of {config.num_steps} steps are logged",
            "run the same command again; see the logs under /tmp/ray/session_latest/logs/train",
        )
    return TrainSummary(
        out=str(config.out),
        model=str(config.out / "model"),
        num_steps=config.num_steps,
        tokens=sum(each["tokens"] for each in steps),
        loss_tokens=sum(each["loss_tokens"] for each in steps),
        tokens_per_s=steps[-1]["tokens_per_s"],
        first_loss=steps[0]["loss"],
        last_loss=steps[-1]["loss"],
        validation_before=steps[0].get("validation_before", {}),
        validation_after=steps[-1].get("validation_after", {}),
        wall_s=wall_s,
        parity=json.loads((config.out / PARITY).read_text(encoding="utf-8")),
    )


def identity(config: TrainConfig) -> dict[str, Any]:
    """What decides the weights at every step; of the mixture it is the content, wherever it lies.

    The number of steps is no part of it but where the schedule follows from it, so that a run can go on.
    """
    followed = {"out", "data", "max_failures", "num_workers", "validate_every", "checkpoint_every"}
    return {
        **config.model_dump(mode="json", exclude=followed),
        "method": {"name": config.method["name"], **build(config.method).settings.model_dump(mode="json")},
        "schedule_steps": config.schedule_steps or config.num_steps,
        "mixture": corpus_digest(config.data),
    }


def _check_steps(config: TrainConfig) -> None:
    """Let a run that made no step yet begin with other settings, and none go back to fewer steps.

    Raises:
        UsageError: The run has made more steps than it is to have.
    """
    made = read_metrics(config.out / METRICS)
    if made and made[-1]["step"] > config.num_steps:
        raise UsageError(
            f"{str(config.out)!r} holds a longer run",
            f"it has made {made[-1]['step']} steps, train.num_steps is {config.num_steps}",
            f"--set train.num_steps={made[-1]['step']}, or give another --out",
        )
    plan = config.out / PLAN
    if not made and plan.exists() and "schedule_steps" in plan.read_text(encoding="utf-8"):
        plan.unlink()
