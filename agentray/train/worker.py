"""The shell around a training run inside a Ray Train worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from agentray.config import TrainConfig
from agentray.errors import AgentrayError
from agentray.manifest import write_json
from agentray.mix.corpus import Corpus, read_corpus
from agentray.train import failure, parity
from agentray.train.batches import Batches, Layout
from agentray.train.checks import tokenizer_of
from agentray.train.engine import Engine
from agentray.train.loop import Training
from agentray.train.methods import build
from agentray.train.model import load
from agentray.train.parity import Parity

PARITY = "parity.json"


def train_loop(settings: dict[str, Any]) -> None:
    """Train one worker's share; `settings` is a dumped `TrainConfig` and the resolved model."""
    config = TrainConfig.model_validate(settings["config"])
    found = failure.read(config.out)
    if found is not None and found.final:
        return  # Ray Train restarted workers whose failure a restart does not fix
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
    worker, method = RayWorker(), build(config.method)
    dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    base = partial(load, model, dtype, equal.attention)
    trained = base()
    method.prepare(trained, base)
    layout = Layout(equal.packed, method.sides_apart)
    batches = Batches(config, corpus, layout, worker.rank, worker.world)
    tokenizer = partial(tokenizer_of, model, corpus)
    Training(config, batches, Engine(trained, config, method), method, worker, tokenizer).run()


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


class RayWorker:
    """A Ray Train worker."""

    def __init__(self) -> None:
        import ray.train

        context = ray.train.get_context()
        self.rank, self.world = context.get_world_rank(), context.get_world_size()

    def gather(self, value: Any) -> list[Any]:
        """Every worker's value, by rank."""
        if self.world == 1:
            return [value]
        gathered: list[Any] = [None] * self.world
        dist.all_gather_object(gathered, value)
        return gathered

    def report(self, step: int, checkpoint: Path | None) -> None:
        """Hand Ray Train a checkpoint. Not every step is reported: the controller takes a report in 2 s."""
        import ray.train

        mine = ray.train.Checkpoint.from_directory(str(checkpoint)) if checkpoint else None
        ray.train.report({"step": step}, checkpoint=mine)

    @contextmanager
    def checkpoint(self) -> Iterator[Path | None]:
        """The directory of Ray Train's last checkpoint."""
        import ray.train

        found = ray.train.get_checkpoint()
        if found is None:
            yield None
            return
        with found.as_directory() as directory:
            yield Path(directory)
