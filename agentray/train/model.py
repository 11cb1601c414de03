"""The model in training: the loss of a row, through the model's own forward pass.

The output head, a fifth of a small model's work, runs only at positions that predict a reply. What a model
does after its head (logit scale, soft cap) is its own, as the whole model is called and not its parts.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from agentray.errors import UsageError
from agentray.mix.packing import Row
from agentray.train.attention import ATTENTION

__all__ = ["ATTENTION", "LOSS_CHUNK", "load", "target_logits", "token_losses"]

LOSS_CHUNK = 2048
"""Targets whose logits are float32 at once. All of a row's logits exist once in the model's own type: 2 bytes
in bfloat16, against the 4 that the gradient keeps of each anyway."""


def load(
    model: str, dtype: torch.dtype, attention: str = ATTENTION, config: PreTrainedConfig | None = None
) -> PreTrainedModel:
    """A causal language model, ready for packed rows unless its attention is another.

    Args:
        model: A model directory or id.
        dtype: Type of its weights.
        attention: `ATTENTION`, or one of `transformers`' own: `sdpa`, `eager`.
        config: Replaces the model's own.

    Raises:
        UsageError: `transformers` cannot load it.
    """
    changed = {} if config is None else {"config": config}
    try:
        loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            model, dtype=dtype, attn_implementation=attention, **changed
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"cannot load model {model!r}", str(error).splitlines()[0], "give a model directory or id"
        ) from error
    return loaded


def token_losses(model: PreTrainedModel, row: Row) -> torch.Tensor:
    """Cross-entropy of every target of a row: float32 (targets,)."""
    logits = target_logits(model, row)
    targets = torch.from_numpy(row.targets).long().to(logits.device)
    chunks = zip(torch.split(logits, LOSS_CHUNK), torch.split(targets, LOSS_CHUNK), strict=True)
    return torch.cat([functional.cross_entropy(each.float(), t, reduction="none") for each, t in chunks])


def target_logits(model: PreTrainedModel, row: Row) -> torch.Tensor:
    """Logits that predict a row's targets, by the model's own forward pass: (targets, vocabulary).

    A model without packed attention is called with the ids alone, so its row must hold one sample.
    """
    device = next(model.parameters()).device
    keep = torch.from_numpy(row.predict_from).to(device)
    inputs: dict[str, Any] = {"input_ids": torch.from_numpy(row.input_ids).long().to(device)[None]}
    if model.config._attn_implementation == ATTENTION:
        inputs["position_ids"] = torch.from_numpy(row.position_ids).to(device)[None]
        inputs["segments"] = row.segments
    else:
        assert len(row.segments) == 1, "only packed attention tells samples apart"
    selects = "logits_to_keep" in inspect.signature(model.forward).parameters
    if selects:
        inputs["logits_to_keep"] = keep
    logits: torch.Tensor = model(**inputs, use_cache=False).logits[0]
    return logits if selects else logits[keep]
