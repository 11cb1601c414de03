"""The DeepSpeed engine of one worker: optimizer, sharding, mixed precision; its state as plain tensors."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from agentray.config import OptimizerConfig, TrainConfig
from agentray.mix.packing import Row, pack
from agentray.mix.samples import Sample
from agentray.train.methods import Method

STATE = "state.safetensors"
"""File of a checkpoint."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


class LossModel(nn.Module):
    """A language model whose forward pass is what a training method learns from a packed row."""

    def __init__(self, model: PreTrainedModel, method: Method) -> None:
        super().__init__()
        self.model = model
        self._method = method

    def forward(
        self, row: Row, scale: float, *, general: bool = False, last: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss to differentiate, and every target's own loss.

        Args:
            row: Packed samples.
            scale: Factor on the sum of what the row teaches.
            general: Whether all its samples are general ones.
            last: Whether the step ends with this row, which then carries the step's penalty.

        Returns:
            A scalar, and float32 (targets,) without gradient.
        """
        learnt, plain = self._method.loss(self.model, row, general)
        loss = learnt.sum() * scale
        penalty = self._method.penalty(self.model) if last else None
        return loss if penalty is None else loss + penalty, plain


class Engine:
    """Model, optimizer and their distributed state.

    Args:
        model: Initial weights, which the method has prepared.
        config: Training settings.
        method: What is learnt from a row.
    """

    def __init__(self, model: PreTrainedModel, config: TrainConfig, method: Method) -> None:
        if config.gpus_per_worker == 0:
            os.environ["DS_ACCELERATOR"] = "cpu"
        import deepspeed

        self._deepspeed = deepspeed
        if config.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        optimizer = torch.optim.AdamW(
            _groups(model, config.optimizer),
            lr=config.optimizer.learning_rate,
            betas=config.optimizer.betas,
            fused=True,
        )
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=LossModel(model, method),
            optimizer=optimizer,
            config=_settings(config),
            dist_init_required=False,
        )
        self._engine.train()  # `transformers` loads a model as for inference, without dropout
        self.device = self._engine.device
        self.whole = True
        """Whether the weights are those of a whole number of steps; not while a step updates them."""

    @property
    def model(self) -> PreTrainedModel:
        """The language model inside."""
        model: PreTrainedModel = self._engine.module.model
        return model

    def backward(self, row: Row, scale: float, *, last: bool, general: bool = False) -> torch.Tensor:
        """Accumulate the gradient of one row; returns the targets' losses, float32 (targets,).

        Args:
            row: Packed samples.
            scale: Factor on the sum of the losses.
            last: Whether the step ends with this row.
            general: Whether all its samples are general ones.
        """
        self._engine.set_gradient_accumulation_boundary(last)
        loss, losses = self._engine(row, scale, general=general, last=last)
        self._engine.backward(loss)
        return losses  # type: ignore[no-any-return]

    def step(self, learning_rate: float) -> float | None:
        """Update the weights; returns the gradient norm before clipping, None where DeepSpeed keeps none."""
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self.whole = False
        self._engine.step()
        self.whole = True
        norm = self._engine.get_global_grad_norm()  # none in float32 at stage 0
        return None if norm is None else float(norm)

    @torch.no_grad()
    def losses(self, row: Row) -> torch.Tensor:
        """Every target's loss, without a gradient: float32 (targets,)."""
        return self._engine.module(row, 1.0)[1]  # type: ignore[no-any-return]

    def weights(self) -> dict[str, torch.Tensor]:
        """Full float32 master weights by name, on the CPU; all workers must call it."""
        full = self._deepspeed.utils.safe_get_full_fp32_param
        found = {}
        for name, parameter in self._parameters():
            master = full(parameter)
            value = parameter.detach() if master is None else master
            found[name] = value.float().cpu().clone()
        return found

    def own_weights(self) -> dict[str, torch.Tensor]:
        """Weights in the type they are trained in, on the CPU; asks no other worker, so not with ZeRO 3."""
        return {name: parameter.detach().cpu().clone() for name, parameter in self._parameters()}

    def save(self, directory: Path, metadata: Mapping[str, str], *, write: bool) -> None:
        """Save weights and moments as safetensors, independent of the number of workers.

        Args:
            directory: Where to.
            metadata: What to note with them.
            write: True on the worker that writes; all workers must call.
        """
        self._link_moments()
        tensors = {f"weight/{name}": value for name, value in self.weights().items()}
        for name, parameter in self._trained():
            for moment in _MOMENTS:
                tensors[f"{moment}/{name}"] = self._moment(parameter, moment).float().cpu().clone()
        if write:
            save_file(tensors, directory / STATE, metadata=dict(metadata))

    def load(self, directory: Path, step: int) -> None:
        """Restore what `save` saved after `step` steps, on any number of workers."""
        self._take_empty_step()
        self._link_moments()
        utils = self._deepspeed.utils
        tensors = load_file(directory / STATE)
        for name, parameter in self._trained():
            self._set(parameter, tensors[f"weight/{name}"])
            for moment in _MOMENTS:
                value = tensors[f"{moment}/{name}"].to(self.device)
                utils.safe_set_full_optimizer_state(parameter, value, moment)
                if parameter in self._base_optimizer().state:  # nothing is sharded, nothing was set
                    self._base_optimizer().state[parameter][moment].copy_(value)
        for state in self._base_optimizer().state.values():
            if "step" in state:
                state["step"] = torch.as_tensor(float(step)).to(self.device)

    def interpolate(self, base: Mapping[str, torch.Tensor], share: float) -> None:
        """Move the weights back towards `base`; all workers must call it.

        Args:
            base: Weights by name.
            share: Of the way from `base` to the weights as they are, in (0, 1].

        Source: Wortsman et al. 2022, arXiv:2109.01903, section 3.
        """
        trained = self.weights()
        for name, parameter in self._trained():
            self._set(parameter, torch.lerp(base[name].float().cpu(), trained[name], share))

    def _set(self, parameter: nn.Parameter, value: torch.Tensor) -> None:
        """Set a parameter and its float32 master copy, wherever the shards are."""
        self._deepspeed.utils.safe_set_full_fp32_param(parameter, value.to(self.device))
        with torch.no_grad():
            parameter.data.copy_(value.to(parameter.dtype))

    def _moment(self, parameter: nn.Parameter, name: str) -> torch.Tensor:
        """A parameter's whole optimizer moment, wherever its shards are."""
        state = self._base_optimizer().state
        if parameter in state:
            return state[parameter][name]  # type: ignore[no-any-return]
        return self._deepspeed.utils.safe_get_full_optimizer_state(parameter, name)  # type: ignore[no-any-return]

    def _link_moments(self) -> None:
        """Make DeepSpeed find the moments of every parameter.

        ZeRO 1 and 2 look for them once, after the first step of the first parameter group, when the others
        have none yet.
        """
        link = getattr(self._optimizer, "_lazy_init_hp_params_optimizer_state", None)
        if link is not None:
            self._optimizer._hp_optimizer_states_linked = False
            link()

    def _take_empty_step(self) -> None:
        """Make DeepSpeed allocate its optimizer state, which it does at the first step and not before."""
        nothing = Sample(np.zeros(2, np.int32), np.asarray([False, True]))
        self.backward(pack([nothing], 2)[0], 0.0, last=True)
        self.step(0.0)

    def _parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(self._engine.module.model.named_parameters())

    def _trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        return (each for each in self._parameters() if each[1].requires_grad)

    def _base_optimizer(self) -> torch.optim.Optimizer:
        inner = getattr(self._optimizer, "optimizer", self._optimizer)
        assert isinstance(inner, torch.optim.Optimizer)
        return inner


def _groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Parameter groups: decay on matrices, none on vectors."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim > 1]
    vectors = [parameter for parameter in trained if parameter.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _settings(config: TrainConfig) -> dict[str, Any]:
    """DeepSpeed's own configuration. Rows are accumulated by hand, so it sees one row a step.

    It has no bfloat16 optimizer at stage 0 that sums gradients in float32, so stage 1 is used: the same
    numbers, and the optimizer's state sharded.
    """
    bfloat16 = config.precision == "bfloat16"
    stage = max(config.zero_stage, 1) if bfloat16 else config.zero_stage
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
        "gradient_clipping": config.optimizer.max_grad_norm,
        "steps_per_print": 10**9,
    }
    if bfloat16:
        settings["bf16"] = {"enabled": True}
        settings["data_types"] = {"grad_accum_dtype": "fp32"}
    return settings
