"""The model in training: packed attention, and the loss computed only where there is loss.

Attention runs segment by segment, so a packed row costs what its conversations cost, and a shared
instruction is computed once. The output head, a fifth of a small model's work, runs only at positions that
predict a reply.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from agentray.data.packing import Row, Segment
from agentray.errors import UsageError

ATTENTION = "agentray_packed"
_HEAD_CHUNK = 2048
"""Targets per call of the output head; bounds the memory of its logits."""
_QUERY_CHUNK = 128
"""Queries per block of CPU attention."""


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    segments: tuple[Segment, ...] = (),
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each segment and to its prefix; a `transformers` attention function.

    Args:
        module: The attention layer, for its number of key-value groups.
        query: (1, heads, length, head_size)
        key: (1, key_value_heads, length, head_size)
        value: (1, key_value_heads, length, head_size)
        attention_mask: Unused; the segments say it all.
        scaling: Factor on the scores.
        segments: Layout of the row.
        kwargs: What other attention functions take.

    Returns:
        (1, length, heads, head_size), and no weights.
    """
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    attend = _attend_fused if query.is_cuda else _attend_by_chunks
    # Splitting once, not slicing per segment: a slice's gradient is a whole row of zeros.
    lengths = [segment.end - segment.start for segment in segments]
    queries, keys, values = (torch.split(each, lengths, dim=2) for each in (query, key, value))
    place = {segment.start: index for index, segment in enumerate(segments)}
    outputs = []
    for index, segment in enumerate(segments):
        own_keys, own_values = keys[index], values[index]
        if segment.prefix_end > segment.prefix_start:
            prefix = place[segment.prefix_start]
            own_keys = torch.cat([keys[prefix], own_keys], dim=2)
            own_values = torch.cat([values[prefix], own_values], dim=2)
        outputs.append(attend(queries[index], own_keys, own_values))
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _attend_fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Causal attention of the last queries to all keys, by the fused kernel; queries come scaled."""
    length, total = query.shape[2], key.shape[2]
    mask = None
    if length < total:
        mask = torch.ones(length, total, dtype=torch.bool, device=query.device).tril(total - length)
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=1.0, enable_gqa=True
    )


def _attend_by_chunks(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """The same in plain matrix products, a block of queries at a time and only the keys it may see.

    Queries that share a key-value head go through one product together. On a CPU this is 2.4 to 3.1 times as
    fast as the fused kernel, forward and backward: `python benchmarks/attention.py`.
    """
    _, heads, length, size = query.shape
    shared = key.shape[1]
    grouped, keys, values = query.reshape(shared, heads // shared, length, size), key[0], value[0]
    seen = keys.shape[1] - length
    outputs = []
    for queries in torch.split(grouped, _QUERY_CHUNK, dim=2):
        rows = queries.shape[2]
        first, seen = seen, seen + rows
        scores = torch.bmm(queries.reshape(shared, -1, size), keys[:, :seen].transpose(1, 2))
        ahead = torch.full((rows, seen), -torch.inf, dtype=scores.dtype).triu(first + 1)
        weights = torch.softmax(scores + ahead.repeat(heads // shared, 1), dim=-1)
        outputs.append(torch.bmm(weights, values[:, :seen]).view(shared, -1, rows, size))
    return torch.cat(outputs, dim=2).reshape(1, heads, length, size)


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)


def load(model: str, dtype: torch.dtype) -> PreTrainedModel:
    """A causal language model ready for packed rows.

    Raises:
        UsageError: `transformers` cannot load it.
    """
    try:
        loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            model, dtype=dtype, attn_implementation=ATTENTION
        )
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot load model {model!r}", str(error).splitlines()[0], "give a model directory or id"
        ) from error
    loaded.config.use_cache = False
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
    """Keep the lowest `count` decoder layers, and the embeddings, as they are.

    The backward pass ends above them, so a step costs less.
    """
    if count == 0:
        return
    for module in [model.get_input_embeddings(), *model.get_decoder().layers[:count]]:
        module.requires_grad_(False)


def token_losses(model: PreTrainedModel, row: Row) -> torch.Tensor:
    """Cross-entropy of every target of a row: float32 (targets,)."""
    states = target_states(model, row)
    targets = torch.from_numpy(row.targets).long().to(states.device)
    head = model.get_output_embeddings()
    chunks = zip(torch.split(states, _HEAD_CHUNK), torch.split(targets, _HEAD_CHUNK), strict=True)
    return torch.cat([functional.cross_entropy(head(s).float(), t, reduction="none") for s, t in chunks])


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
        theirs = torch.split(target_states(reference, row), _HEAD_CHUNK)
    mine = torch.split(target_states(model, row), _HEAD_CHUNK)
    targets = torch.split(torch.from_numpy(row.targets).long().to(mine[0].device), _HEAD_CHUNK)
    learnt, plain = [], []
    for state, wanted, target in zip(mine, theirs, targets, strict=True):
        logits = model.get_output_embeddings()(state).float()
        with torch.no_grad():
            distribution = (reference.get_output_embeddings()(wanted).float() / temperature).softmax(-1)
        text = functional.cross_entropy(logits, target, reduction="none")
        soft = functional.cross_entropy(logits, distribution, reduction="none")
        learnt.append(torch.lerp(text, soft, share))
        plain.append(text.detach())
    return torch.cat(learnt), torch.cat(plain)


def target_states(model: PreTrainedModel, row: Row) -> torch.Tensor:
    """Last hidden states from which a row's targets are predicted: (targets, hidden)."""
    device = next(model.parameters()).device
    hidden = model.get_decoder()(
        input_ids=torch.from_numpy(row.input_ids).long().to(device)[None],
        position_ids=torch.from_numpy(row.position_ids).to(device)[None],
        use_cache=False,
        segments=row.segments,
    ).last_hidden_state[0]
    return hidden[torch.from_numpy(row.predict_from).to(device)]  # type: ignore[no-any-return]
