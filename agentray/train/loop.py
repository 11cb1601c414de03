"""What each training worker does: draw, pack, accumulate, step, report. Runs inside a Ray Train worker."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from agentray.chat.loading import load_tokenizer
from agentray.config import TrainConfig
from agentray.errors import AgentrayError
from agentray.manifest import write_json
from agentray.mix.corpus import Corpus, read_corpus
from agentray.mix.packing import Row, pack
from agentray.mix.samples import Sample
from agentray.mix.stream import Stream
from agentray.train import failure, parity
from agentray.train.engine import Engine
from agentray.train.export import write_model
from agentray.train.model import load
from agentray.train.parity import Parity
from agentray.train.schedule import learning_rate

METRICS = "metrics.jsonl"
PARITY = "parity.json"


def train_loop(settings: dict[str, Any]) -> None:
    """Train one worker's share; `settings` is a dumped `TrainConfig` and the resolved model."""
    config = TrainConfig.model_validate(settings["config"])
    found = failure.read(config.out)
    if found is not None and found.final:
        return  # Ray Train restarted workers whose failure a restart does not mend
    try:
        _train(config, settings["model"])
    except AgentrayError as error:
        failure.record(config.out, failure.final(error))
        raise


def _train(config: TrainConfig, model: str) -> None:
    if config.gpus_per_worker == 0:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // config.num_workers))
    torch.manual_seed(config.seed)
    corpus = read_corpus(config.data)
    equal = _agreed_parity(config, model, corpus)
    if equal is None:
        return
    dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    reference = load(model, dtype, equal.attention) if config.distillation else None
    engine = Engine(load(model, dtype, equal.attention), config, reference)
    _Training(config, model, corpus, engine, packed=equal.packed).run()


def _agreed_parity(config: TrainConfig, model: str, corpus: Corpus) -> Parity | None:
    """What the first worker found about the loss, on all workers; None if nothing may be trained.

    Its refusal is on record then, and every worker ends without an error, so Ray Train restarts none.
    """
    import ray.train
    from ray.train.torch import get_device

    context, device = ray.train.get_context(), get_device()
    found: list[Parity | None] = [None]
    if context.get_world_rank() == 0:
        sources = [*corpus.training.values(), *corpus.validation.values()]
        try:
            mine = parity.check(model, sources, device)
            write_json(config.out / PARITY, asdict(mine))
            found = [mine]
        except AgentrayError as error:
            failure.record(config.out, failure.final(error))
    if context.get_world_size() > 1:
        dist.broadcast_object_list(found, src=0, device=device)
    return found[0]


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

    def __init__(
        self, config: TrainConfig, base: str, corpus: Corpus, engine: Engine, *, packed: bool
    ) -> None:
        import ray.train

        self._config, self._base, self._corpus, self._engine = config, base, corpus, engine
        self._packed = packed
        context = ray.train.get_context()
        self._rank, self._world = context.get_world_rank(), context.get_world_size()
        self._stream: Stream = corpus.stream(config.eta)
        self._metrics = Path(config.out) / METRICS

    def run(self) -> None:
        """Train from the last checkpoint, or from the start, to the last step, and write the model.

        A failure keeps the weights of the last whole step, where one worker can do that alone.
        """
        self._done, self._interpolated = self._restore()
        try:
            self._make_steps()
            self._finish()
        except Exception as error:
            self._keep(error)
            raise

    def _make_steps(self) -> None:
        config = self._config
        before = self._validate() if self._done == 0 else None
        started, tokens = time.monotonic(), 0
        while self._done < config.num_steps:
            metrics = self._step(self._done)
            tokens += int(metrics["tokens"])
            metrics |= {
                "step": self._done,
                "tokens_per_s": round(tokens / (time.monotonic() - started), 1),
            }
            if self._done == 1 and before:
                metrics["validation_before"] = before
            self._log(metrics)
            if config.checkpoint_every and self._done % config.checkpoint_every == 0:
                self._save()

    def _finish(self) -> None:
        """Interpolate, validate and export: what comes after the last step."""
        if self._config.interpolation < 1 and not self._interpolated:
            base = load(self._base, torch.float32).state_dict()
            self._engine.interpolate(base, self._config.interpolation)
            self._interpolated = True
        self._amend({"validation_after": self._validate()})
        weights = self._engine.weights()
        if self._rank == 0:
            write_model(self._engine.model, weights, self._base, self._config.out / "model")

    def _keep(self, error: Exception) -> None:
        """Save the weights so far, where that takes no other worker, and say where."""
        if self._done == 0 or not self._engine.whole:
            return
        try:
            if self._world == 1:
                self._save()
                where = "the last checkpoint holds them, and the same command goes on from there"
            elif self._config.zero_stage < 3:
                where = f"they are the model in {str(self._write_step())!r}"
            else:
                return  # each worker holds a part, and the others wait in another exchange
        except Exception as another:
            error.add_note(f"the weights after step {self._done} could not be saved: {another}")
            return
        failure.record(self._config.out, failure.after_steps(error, self._done, where))

    def _write_step(self) -> Path:
        """The weights so far as a model directory; whichever worker writes first writes it."""
        target = self._config.out / f"model-step-{self._done}"
        with tempfile.TemporaryDirectory(prefix=".model-", dir=self._config.out) as directory:
            part = Path(directory) / "model"
            write_model(self._engine.model, self._engine.own_weights(), self._base, part)
            tokenizer = load_tokenizer(self._base)
            if self._corpus.chat_template is not None:
                tokenizer.chat_template = self._corpus.chat_template
            tokenizer.save_pretrained(part)
            with suppress(OSError):  # it is there
                part.rename(target)
        return target

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
        self._done += 1
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
        names = [share.name for share in self._stream.shares]
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
            some = self._lay([samples[index] for index in members])
            rows += [replace(row, samples=members[row.samples]) for row in some]
            counts.append(len(some))
        return rows, counts[0]

    def _lay(self, samples: Sequence[Sample]) -> list[Row]:
        return pack(samples, self._config.row_tokens, alone=not self._packed)

    def _validate(self) -> dict[str, float]:
        """Mean loss per target on each validation source."""
        totals: dict[str, list[float]] = {}
        self._engine.model.eval()
        for name, samples in self._corpus.validation.items():
            parts = [samples[rank :: self._world] or samples[:1] for rank in range(self._world)]
            packed = [self._lay(part) for part in parts]
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

    def _amend(self, metrics: dict[str, Any]) -> None:
        """Add to the last logged step."""
        if self._rank == 0:
            *others, last = read_metrics(self._metrics)
            self._rewrite([*others, {**last, **metrics}])

    def _rewrite(self, steps: Sequence[dict[str, Any]]) -> None:
        partial = self._metrics.with_suffix(".partial")
        partial.write_text("".join(json.dumps(each) + "\n" for each in steps), encoding="utf-8")
        partial.replace(self._metrics)

    def _forget_after(self, step: int) -> None:
        """Drop logged steps that will be made again."""
        if self._rank == 0 and self._metrics.exists():
            self._rewrite([each for each in read_metrics(self._metrics) if each["step"] <= step])

    def _save(self) -> None:
        """Hand Ray Train a checkpoint. Not every step is reported: the controller takes a report in 2 s."""
        import ray.train

        noted = {"step": str(self._done), "interpolated": str(int(self._interpolated))}
        with tempfile.TemporaryDirectory(dir=self._config.out) as directory:
            self._engine.save(Path(directory), noted, write=self._rank == 0)
            mine = ray.train.Checkpoint.from_directory(directory) if self._rank == 0 else None
            ray.train.report({"step": self._done}, checkpoint=mine)

    def _restore(self) -> tuple[int, bool]:
        """Continue from Ray Train's last checkpoint.

        Returns:
            The steps it had done, and whether it was interpolated after them.
        """
        import ray.train
        from safetensors import safe_open

        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            self._forget_after(0)
            return 0, False
        with checkpoint.as_directory() as directory:
            with safe_open(Path(directory) / "state.safetensors", "pt") as file:
                noted = file.metadata()
            step = int(noted["step"])
            self._engine.load(Path(directory), step)
        self._forget_after(step)
        return step, noted.get("interpolated") == "1"


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
