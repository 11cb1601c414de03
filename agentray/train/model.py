"""The model in training: the loss of a row, through the model's own forward pass.

The output head, a fifth of a small model's work, runs only at positions that predict a reply. What a model
does after its head (logit scale, soft cap) is its own, as the whole model is called and not its parts.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from agentray.errors import UsageError
from agentray.mix.packing import Row
from agentray.train.attention import ATTENTION

__all__ = ["ATTENTION", "check_frozen", "distilled_losses", "freeze", "load", "target_logits", "token_losses"]

_LOSS_CHUNK = 2048
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


def check_frozen(model: str, count: int) -> None:
    """Refuse to train nothing.

    Args:
        model: A model directory or id.
        count: Lowest decoder layers that are kept as they are.

    Raises:
        UsageError: The model has no more layers than that.
    """
    layers = AutoConfig.from_pretrained(model).get_text_config().num_hidden_layers
    if count >= layers:
        raise UsageError(
            f"train.frozen_layers is {count}",
            f"the model has {layers} layers, so nothing would be trained",
            f"--set train.frozen_layers={layers // 3}",
        )


def freeze(model: PreTrainedModel, count: int) -> None:
    """Keep the lowest `count` decoder layers, and all before them, as they are.

    The backward pass ends above them, so a step costs less.

    Raises:
        UsageError: The model's decoder layers cannot be told from its other parts.
    """
    if count == 0:
        return
    before, layers = _decoder_layers(model)
    for module in [model.get_input_embeddings(), *before, *layers[:count]]:
        module.requires_grad_(False)


def _decoder_layers(model: PreTrainedModel) -> tuple[list[nn.Module], nn.ModuleList]:
    """What a decoder has before its layers (embeddings of tokens and positions), and the layers."""
    count = model.config.get_text_config().num_hidden_layers
    for parent in model.get_decoder().modules():  # outer modules come first, so no list of experts is found
        before: list[nn.Module] = []
        for child in parent.children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return before, child
            before.append(child)
    raise UsageError(
        "train.frozen_layers does not work with this model",
        f"{type(model).__name__} has no list of {count} decoder layers",
        "--set train.frozen_layers=0",
    )


def token_losses(model: PreTrainedModel, row: Row) -> torch.Tensor:
    """Cross-entropy of every target of a row: float32 (targets,)."""
    logits = target_logits(model, row)
    targets = torch.from_numpy(row.targets).long().to(logits.device)
    chunks = zip(torch.split(logits, _LOSS_CHUNK), torch.split(targets, _LOSS_CHUNK), strict=True)
    return torch.cat([functional.cross_entropy(each.float(), t, reduction="none") for each, t in chunks])


def distilled_losses(
    model: PreTrainedModel, reference: PreTrainedModel, row: Row, share: float, temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """What to learn from a row when a reference model's distribution counts as well as the text.

    Args:
        model: What is trained.
        reference: Its teacher.
        row: Packed samples.
        share: Of the reference, in [0, 1].
        temperature: Of the reference's distribution: the one at which it wrote the text, if it did.

    Returns:
        `(1 - share)` times the cross-entropy of every target plus `share` times that of its distribution with
        the reference's, and the former alone, without gradient: both float32 (targets,). The latter term has
        the gradient of the Kullback-Leibler divergence (Hinton et al. 2015, arXiv:1503.02531, equation 2, the
        student's temperature being 1).
    """
    with torch.no_grad():
        theirs = torch.split(target_logits(reference, row), _LOSS_CHUNK)
    mine = torch.split(target_logits(model, row), _LOSS_CHUNK)
    targets = torch.split(torch.from_numpy(row.targets).long().to(mine[0].device), _LOSS_CHUNK)
    learnt, plain = [], []
    for own, wanted, target in zip(mine, theirs, targets, strict=True):
        logits = own.float()
        with torch.no_grad():
            distribution = (wanted.float() / temperature).softmax(-1)
        text = functional.cross_entropy(logits, target, reduction="none")
        soft = functional.cross_entropy(logits, distribution, reduction="none")
        learnt.append(torch.lerp(text, soft, share))
        plain.append(text.detach())
    return torch.cat(learnt), torch.cat(plain)


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
