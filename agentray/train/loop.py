"""What each training worker does: draw, pack, accumulate, step, report. Runs inside a Ray Train worker."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from agentray.config import TrainConfig
from agentray.data.mixture import Stream
from agentray.data.packing import Row, pack
from agentray.data.samples import Sample
from agentray.manifest import write_json
from agentray.train.corpus import Corpus, read_corpus
from agentray.train.engine import Engine
from agentray.train.model import load
from agentray.train.schedule import learning_rate

METRICS = "metrics.jsonl"


def train_loop(settings: dict[str, Any]) -> None:
    """Train one worker's share; `settings` is a dumped `TrainConfig` and the resolved model."""
    config = TrainConfig.model_validate(settings["config"])
    if config.gpus_per_worker == 0:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // config.num_workers))
    torch.manual_seed(config.seed)
    dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    reference = load(settings["model"], dtype) if config.distillation else None
    engine = Engine(load(settings["model"], dtype), config, reference)
    _Training(config, settings["model"], read_corpus(config.data), engine).run()


@dataclass(frozen=True)
class _Batch:
    """One optimizer step's work, as one worker sees it."""

    rows: list[Row]
    num_rows: int
    """Rows on the worker that has most: all workers go through as many."""
    num_targets: int
    """Over all workers."""
    sources: list[str]
    """Source of each of this worker's samples."""
    general: frozenset[int]
    """Those of this worker's rows that hold general samples alone, apart from the others."""


class _Training:
    """State of one worker's training run."""

    def __init__(self, config: TrainConfig, base: str, corpus: Corpus, engine: Engine) -> None:
        import ray.train

        self._config, self._base, self._corpus, self._engine = config, base, corpus, engine
        context = ray.train.get_context()
        self._rank, self._world = context.get_world_rank(), context.get_world_size()
        self._stream: Stream = corpus.stream(config.eta)
        self._metrics = Path(config.out) / METRICS

    def run(self) -> None:
        """Train from the last checkpoint, or from the start, to the last step."""
        step = self._restore()
        before = self._validate() if step == 0 else None
        started, tokens = time.monotonic(), 0
        while step < self._config.num_steps:
            metrics = self._step(step)
            tokens += int(metrics["tokens"])
            step += 1
            done = step == self._config.num_steps
            metrics |= {"step": step, "tokens_per_s": round(tokens / (time.monotonic() - started), 1)}
            if step == 1 and before:
                metrics["validation_before"] = before
            if done:
                self._interpolate()
                metrics["validation_after"] = self._validate()
            self._log(metrics)
            if self._config.checkpoint_every and step % self._config.checkpoint_every == 0:
                self._save(step)
        self._export()

    def _interpolate(self) -> None:
        """Take the trained weights part of the way back to the base model's."""
        if self._config.interpolation < 1:
            base = load(self._base, torch.float32).state_dict()
            self._engine.interpolate(base, self._config.interpolation)

    def _step(self, step: int) -> dict[str, Any]:
        """One optimizer step over a global batch; the loss is the mean over all its targets."""
        config = self._config
        batch = self._draw(step)
        # Gradients are averaged over workers, so the worker count takes that mean back to a sum.
        scale = self._world / batch.num_targets
        totals: dict[str, list[float]] = {}
        tokens = 0
        for index in range(batch.num_rows):
            padding = index >= len(batch.rows)
            row = batch.rows[-1 if padding else index]
            last = index == batch.num_rows - 1
            weight = 0.0 if padding else scale
            losses = self._engine.backward(row, weight, last=last, general=index in batch.general)
            if padding:
                continue
            tokens += len(row.input_ids)
            for sample in np.unique(row.samples).tolist():
                mine = losses[torch.from_numpy(row.samples == sample).to(losses.device)]
                entry = totals.setdefault(batch.sources[sample], [0.0, 0.0])
                entry[0] += float(mine.sum())
                entry[1] += len(mine)
        rate = learning_rate(
            step,
            num_steps=config.num_steps,
            peak=config.optimizer.learning_rate,
            warmup_ratio=config.optimizer.warmup_ratio,
            min_ratio=config.optimizer.min_learning_rate_ratio,
        )
        norm = self._engine.step(rate)
        gathered = self._gather((totals, tokens))
        by_source = _means([each for each, _ in gathered])
        return {
            "loss": sum(s for t, _ in gathered for s, _ in t.values()) / batch.num_targets,
            "loss_by_source": by_source,
            "learning_rate": rate,
            "grad_norm": round(norm, 4),
            "tokens": sum(count for _, count in gathered),
            "loss_tokens": batch.num_targets,
        }

    def _draw(self, step: int) -> _Batch:
        """This worker's part of a step's samples; every worker computes every part's size alike."""
        first = step * self._config.batch_size
        drawn = [self._stream[first + i] for i in range(self._config.batch_size)]
        names = [source.name for source in self._stream.sources]
        parts = [drawn[rank :: self._world] for rank in range(self._world)]
        samples = [[self._corpus.training[names[source]][row] for source, row in part] for part in parts]
        sources = [[names[source] for source, _ in part] for part in parts]
        packed = [self._pack(*each) for each in zip(samples, sources, strict=True)]
        rows, num_general = packed[self._rank]
        return _Batch(
            rows=rows,
            num_rows=max(len(rows) for rows, _ in packed),
            num_targets=sum(len(row.targets) for rows, _ in packed for row in rows),
            sources=sources[self._rank],
            general=frozenset(range(num_general)),
        )

    def _pack(self, samples: Sequence[Sample], sources: Sequence[str]) -> tuple[list[Row], int]:
        """Rows of samples, and how many of the first hold general ones alone: those that are distilled."""
        is_general = np.asarray([name not in self._corpus.agent for name in sources])
        apart = is_general & (self._config.distillation > 0)
        rows: list[Row] = []
        counts = []
        for members in (np.flatnonzero(apart), np.flatnonzero(~apart)):
            some = pack([samples[index] for index in members], self._config.row_tokens)
            rows += [replace(row, samples=members[row.samples]) for row in some]
            counts.append(len(some))
        return rows, counts[0]

    def _validate(self) -> dict[str, float]:
        """Mean loss per target on each validation source."""
        totals: dict[str, list[float]] = {}
        self._engine.model.eval()
        for name, samples in self._corpus.validation.items():
            parts = [samples[rank :: self._world] or samples[:1] for rank in range(self._world)]
            packed = [pack(part, self._config.row_tokens) for part in parts]
            mine = packed[self._rank]
            counted = len(mine) if self._rank < len(samples) else 0
            # With sharded weights every worker must run as many rows as the others.
            for index in range(max(len(rows) for rows in packed)):
                losses = self._engine.losses(mine[min(index, len(mine) - 1)])
                if index < counted:
                    entry = totals.setdefault(name, [0.0, 0.0])
                    entry[0] += float(losses.sum())
                    entry[1] += len(losses)
        self._engine.model.train()
        return _means(self._gather(totals))

    def _gather(self, value: Any) -> list[Any]:
        if self._world == 1:
            return [value]
        gathered: list[Any] = [None] * self._world
        dist.all_gather_object(gathered, value)
        return gathered

    def _log(self, metrics: dict[str, Any]) -> None:
        if self._rank == 0:
            with self._metrics.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(metrics) + "\n")

    def _forget_after(self, step: int) -> None:
        """Drop logged steps that will be made again."""
        if self._rank == 0 and self._metrics.exists():
            kept = [each for each in read_metrics(self._metrics) if each["step"] <= step]
            self._metrics.write_text("".join(json.dumps(each) + "\n" for each in kept), encoding="utf-8")

    def _save(self, step: int) -> None:
        """Hand Ray Train a checkpoint. Not every step is reported: the controller takes a report in 2 s."""
        import ray.train

        with tempfile.TemporaryDirectory(dir=self._config.out) as directory:
            self._engine.save(Path(directory), step, write=self._rank == 0)
            mine = ray.train.Checkpoint.from_directory(directory) if self._rank == 0 else None
            ray.train.report({"step": step}, checkpoint=mine)

    def _restore(self) -> int:
        """Continue from Ray Train's last checkpoint; returns the steps it had done."""
        import ray.train
        from safetensors import safe_open

        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            self._forget_after(0)
            return 0
        with checkpoint.as_directory() as directory:
            with safe_open(Path(directory) / "state.safetensors", "pt") as file:
                step = int(file.metadata()["step"])
            self._engine.load(Path(directory), step)
        self._forget_after(step)
        return step

    def _export(self) -> None:
        """Write the model directory that `transformers` and vLLM load, in bfloat16."""
        weights = self._engine.weights()
        if self._rank == 0:
            directory = Path(self._config.out) / "model"
            state = {name: value.to(torch.bfloat16) for name, value in weights.items()}
            self._engine.model.save_pretrained(directory, state_dict=state)
            # `save_pretrained` notes the type the model trained in, not the one of the weights it was given.
            described = json.loads((directory / "config.json").read_text(encoding="utf-8"))
            write_json(directory / "config.json", {**described, "dtype": "bfloat16"})


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Logged steps, oldest first, none before the first; a line cut short by a crash is skipped."""
    found: list[dict[str, Any]] = []
    if not path.exists():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def _means(totals: Sequence[dict[str, list[float]]]) -> dict[str, float]:
    """Mean by name over workers' (sum, count) pairs."""
    merged: dict[str, list[float]] = {}
    for each in totals:
        for name, (value, count) in each.items():
            entry = merged.setdefault(name, [0.0, 0.0])
            entry[0] += value
            entry[1] += count
    return {name: value / count for name, (value, count) in sorted(merged.items()) if count}
