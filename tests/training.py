"""A corpus, an engine and a worker without Ray and DeepSpeed, for a tiny random model."""

from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import torch
from safetensors.torch import load_file, save_file
from tiny import CONFIGS, build, conversations

from agentray.config import OptimizerConfig, TrainConfig
from agentray.train.engine import STATE, LossModel


def corpus(validation=3):
    """Six agent and six general samples, which share a prefix, and some more general ones."""
    samples = conversations(20)
    return SimpleNamespace(
        training={"game": samples, "chat": samples[::-1]},
        validation={"chat": samples[:validation]} if validation else {},
        agent=("game",),
        stream=lambda eta: Stream(),
    )


class Stream:
    """One sample of each source in turn."""

    shares = (SimpleNamespace(name="game"), SimpleNamespace(name="chat"))

    def __getitem__(self, index):
        return index % 2, index // 2 % 6


def config(out, **changes):
    settings = {
        "data": "unused",
        "model": "unused",
        "out": out,
        "num_steps": 4,
        "batch_size": 4,
        "row_tokens": 512,
        "precision": "float32",
        "zero_stage": 0,
        "optimizer": OptimizerConfig(learning_rate=1e-2),
    }
    return TrainConfig(**(settings | changes))


def base():
    """The base model: the same weights every time."""
    return build(CONFIGS[0])


class Engine:
    """What the loop needs of an engine, in plain torch."""

    def __init__(self, model, method):
        self.model, self.whole = model, True
        self._loss = LossModel(model, method)
        trained = [each for each in model.parameters() if each.requires_grad]
        self._optimizer = torch.optim.AdamW(trained, weight_decay=0.0)

    def backward(self, row, scale, *, last, general=False):
        loss, losses = self._loss(row, scale, general=general, last=last)
        loss.backward()
        return losses

    def step(self, learning_rate):
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        return 1.0

    @torch.no_grad()
    def losses(self, row):
        return self._loss(row, 1.0)[1]

    def weights(self):
        return {name: each.detach().clone() for name, each in self.model.named_parameters()}

    own_weights = weights

    @torch.no_grad()
    def interpolate(self, base, share):
        for name, each in self.model.named_parameters():
            each.copy_(torch.lerp(base[name], each, share))

    def save(self, directory, metadata, *, write):
        tensors = {f"weight/{name}": value for name, value in self.weights().items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"state/{index}/{name}": value.clone() for name, value in state.items()}
        if write:
            save_file(tensors, directory / STATE, metadata=metadata)

    @torch.no_grad()
    def load(self, directory, step):
        tensors = load_file(directory / STATE)
        for name, each in self.model.named_parameters():
            each.copy_(tensors[f"weight/{name}"])
        state = {}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "state":
                index, _, moment = rest.partition("/")
                state.setdefault(int(index), {})[moment] = value
        document = self._optimizer.state_dict()
        self._optimizer.load_state_dict({**document, "state": state})


class Worker:
    """A worker that keeps its checkpoints in a directory."""

    def __init__(self, directory: Path, rank=0, world=1):
        self.rank, self.world = rank, world
        self._directory = directory

    def gather(self, value):
        return [value]

    def report(self, step, checkpoint):
        if checkpoint is not None:
            copytree(checkpoint, self._directory / f"{step:04}", dirs_exist_ok=True)

    @contextmanager
    def checkpoint(self):
        yield max(self._directory.iterdir(), default=None) if self._directory.exists() else None
