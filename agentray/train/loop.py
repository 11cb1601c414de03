"""What each training worker does: draw, learn, step, validate, log, and keep what was reached."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open

from agentray.config import TrainConfig
from agentray.errors import UsageError
from agentray.train import failure
from agentray.train.batches import Batch, Batches
from agentray.train.engine import STATE, Engine
from agentray.train.methods import Method
from agentray.train.metrics import Metrics
from agentray.train.schedule import learning_rate


class Worker(Protocol):
    """This process among those that train together."""

    rank: int
    world: int

    def gather(self, value: Any) -> list[Any]:
        """Every worker's value, by rank."""

    def report(self, step: int, checkpoint: Path | None) -> None:
        """Hand over a checkpoint directory; the first worker has one, all call."""

    def checkpoint(self) -> AbstractContextManager[Path | None]:
        """The directory of the last checkpoint; None where there is none."""


class Training:
    """State of one worker's training run.

    Args:
        config: Training settings.
        batches: What to learn from.
        engine: Model and optimizer.
        method: What is done after the last step, and how the model is written.
        worker: This process among the others.
        tokenizer: Loads the tokenizer that goes with the model.
    """

    def __init__(
        self,
        config: TrainConfig,
        batches: Batches,
        engine: Engine,
        method: Method,
        worker: Worker,
        tokenizer: Callable[[], Any],
    ) -> None:
        self._config, self._batches, self._engine = config, batches, engine
        self._method, self._worker, self._tokenizer = method, worker, tokenizer
        self._metrics = Metrics(config.out, writes=worker.rank == 0)

    def run(self) -> None:
        """Train from the last checkpoint, or from the start, to the last step, and write the model.

        A failure keeps the weights of the last whole step, where one worker can do that alone.
        """
        self._done, self._ended = self._restore()
        try:
            self._make_steps()
            self._finish()
        except Exception as error:
            self._keep(error)
            raise

    def _make_steps(self) -> None:
        config = self._config
        before = self._validate() if self._done == 0 else {}
        seconds, tokens = 0.0, 0
        while self._done < config.num_steps:
            started = time.monotonic()
            metrics = self._step(self._done)
            seconds += time.monotonic() - started
            tokens += int(metrics["tokens"])
            metrics |= {"step": self._done, "tokens_per_s": round(tokens / seconds, 1)}
            if self._done == 1 and before:
                metrics["validation_before"] = before
            if config.validate_every and self._done % config.validate_every == 0:
                metrics["validation"] = self._validate()
            self._metrics.add(metrics)
            if self._is_kept():
                self._save()

    def _is_kept(self) -> bool:
        """Whether a checkpoint is due: every so many steps, and where a run ends before its schedule."""
        config = self._config
        if self._done == config.num_steps < (config.schedule_steps or 0):
            return True
        return bool(config.checkpoint_every and self._done % config.checkpoint_every == 0)

    def _finish(self) -> None:
        """What comes after the last step: the method's own end, the last validation, the model."""
        if not self._ended:
            self._method.after(self._engine)
            self._ended = True
        self._metrics.amend({"validation_after": self._validate()})
        weights = self._engine.weights()
        if self._worker.rank == 0:
            self._method.export(self._engine.model, weights, self._config.out / "model")

    def _keep(self, error: Exception) -> None:
        """Save the weights so far, where that takes no other worker, and say where."""
        if self._done == 0 or not self._engine.whole:
            return
        try:
            if self._worker.world == 1:
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
            self._method.export(self._engine.model, self._engine.own_weights(), part)
            self._tokenizer().save_pretrained(part)
            with suppress(OSError):  # it is there
                part.rename(target)
        return target

    def _step(self, step: int) -> dict[str, Any]:
        """One optimizer step over a global batch; the loss is the mean over all its targets."""
        batch = self._batches.draw(step)
        totals, tokens = self._learn(batch)
        optimizer = self._config.optimizer
        rate = learning_rate(
            step,
            num_steps=self._config.schedule_steps or self._config.num_steps,
            peak=optimizer.learning_rate,
            warmup_ratio=optimizer.warmup_ratio,
            min_ratio=optimizer.min_learning_rate_ratio,
        )
        norm = self._engine.step(rate)
        self._done += 1
        gathered = self._worker.gather((totals, tokens))
        return {
            "loss": sum(s for t, _ in gathered for s, _ in t.values()) / batch.num_targets,
            "loss_by_source": _means([each for each, _ in gathered]),
            "learning_rate": rate,
            "grad_norm": None if norm is None else round(norm, 4),
            "tokens": sum(count for _, count in gathered),
            "loss_tokens": batch.num_targets,
        }

    def _learn(self, batch: Batch) -> tuple[dict[str, list[float]], int]:
        """Accumulate the gradient of a batch.

        Returns:
            Sum and count of the targets' losses by source, and the tokens computed, on this worker.
        """
        # Gradients are averaged over workers, so the worker count takes that mean back to a sum.
        scale = self._worker.world / batch.num_targets
        totals: dict[str, list[float]] = {}
        tokens = 0
        for index in range(batch.num_rows):
            padding = index >= len(batch.rows)
            row = batch.rows[-1 if padding else index]
            general = min(index, len(batch.rows) - 1) < batch.num_general
            last = index == batch.num_rows - 1
            losses = self._engine.backward(row, 0.0 if padding else scale, last=last, general=general)
            if padding:
                continue
            tokens += len(row.input_ids)
            for sample in np.unique(row.samples).tolist():
                mine = losses[torch.from_numpy(row.samples == sample).to(losses.device)]
                _count(totals, batch.sources[sample], mine)
        return totals, tokens

    def _validate(self) -> dict[str, float]:
        """Mean loss per target on each validation source."""
        totals: dict[str, list[float]] = {}
        self._engine.model.eval()
        for name, (rows, counted) in self._batches.validation().items():
            for index, row in enumerate(rows):
                losses = self._engine.losses(row)
                if index < counted:
                    _count(totals, name, losses)
        self._engine.model.train()
        return _means(self._worker.gather(totals))

    def _save(self) -> None:
        """Hand over a checkpoint."""
        noted = {"step": str(self._done), "ended": str(int(self._ended))}
        with tempfile.TemporaryDirectory(dir=self._config.out) as directory:
            first = self._worker.rank == 0
            self._engine.save(Path(directory), noted, write=first)
            self._worker.report(self._done, Path(directory) if first else None)

    def _restore(self) -> tuple[int, bool]:
        """Continue from the last checkpoint.

        Returns:
            The steps it had made, and whether the method's own end came after them.
        """
        with self._worker.checkpoint() as directory:
            if directory is None:
                self._metrics.forget_after(0)
                return 0, False
            with safe_open(directory / STATE, "pt") as file:
                noted = file.metadata()
            step, ended = int(noted["step"]), noted.get("ended") == "1"
            if step > self._config.num_steps or (ended and step < self._config.num_steps):
                raise UsageError(
                    f"the run cannot go on to step {self._config.num_steps}",
                    f"its last checkpoint holds {'the end of a run of ' if ended else ''}{step} steps",
                    f"--set train.num_steps={step}, or give another --out",
                )
            self._engine.load(directory, step)
        self._metrics.forget_after(step)
        return step, ended


def _count(totals: dict[str, list[float]], name: str, losses: torch.Tensor) -> None:
    entry = totals.setdefault(name, [0.0, 0.0])
    entry[0] += float(losses.sum())
    entry[1] += len(losses)


def _means(totals: Sequence[dict[str, list[float]]]) -> dict[str, float]:
    """Mean by name over workers' (sum, count) pairs."""
    merged: dict[str, list[float]] = {}
    for each in totals:
        for name, (value, count) in each.items():
            entry = merged.setdefault(name, [0.0, 0.0])
            entry[0] += value
            entry[1] += count
    return {name: value / count for name, (value, count) in sorted(merged.items()) if count}
