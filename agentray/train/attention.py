"""Packed attention: every sample of a row sees itself and its own prefix, and nothing of its neighbours.

It honours what `transformers` hands to an attention function: scaling, sliding window, soft cap, attention
sinks and dropout. A distance is counted in the sample's own positions; as a shared prefix directly precedes
each sample in those, prefix and sample are joined before anything is masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from agentray.mix.packing import Segment

ATTENTION = "agentray_packed"
"""Name under which `transformers` knows it."""
_QUERY_CHUNK = 128
"""Queries per block of attention in plain matrix products."""


@dataclass(frozen=True)
class Scores:
    """What a layer does to its scores besides scaling and the causal mask."""

    window: int | None = None
    """Most keys a query sees, its own among them; None is no limit."""
    softcap: float | None = None
    """Bound on the scores, by a hyperbolic tangent (Gemma 2, arXiv:2408.00118, section 2)."""
    sinks: torch.Tensor | None = None
    """Scores that take part in the softmax without a value of their own: (heads,) (gpt-oss)."""
    dropout: float = 0.0
    """Chance that a weight is dropped."""


_PLAIN = Scores()


def packed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    segments: tuple[Segment, ...] | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each segment and to its prefix; a `transformers` attention function.

    Args:
        module: The attention layer; unused.
        query: (1, heads, length, head_size)
        key: (1, key_value_heads, length, head_size)
        value: (1, key_value_heads, length, value_size)
        attention_mask: Unused; the segments say it all.
        scaling: Factor on the scores.
        segments: Layout of the row.
        kwargs: What other attention functions take; `sliding_window`, `softcap`, `s_aux` and `dropout` count.

    Returns:
        (1, length, heads, value_size), and no weights.

    Raises:
        RuntimeError: The model did not pass the segments on, so samples cannot be told apart.
    """
    if segments is None:
        raise RuntimeError("the model does not pass `segments` on to its attention")
    scores = Scores(
        kwargs.get("sliding_window"), kwargs.get("softcap"), kwargs.get("s_aux"), kwargs.get("dropout") or 0.0
    )
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    plain = scores.softcap is None and scores.sinks is None
    attend = _attend_fused if query.is_cuda and plain else _attend_by_chunks
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
        outputs.append(attend(queries[index], own_keys, own_values, scores))
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _attend_fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scores: Scores = _PLAIN
) -> torch.Tensor:
    """Causal attention of the last queries to all keys, by the fused kernel; queries come scaled.

    It knows neither soft caps nor sinks.
    """
    length, total = query.shape[2], key.shape[2]
    window = scores.window if scores.window is not None and scores.window < total else None
    mask = None
    if length < total or window is not None:
        mask = torch.ones(length, total, dtype=torch.bool, device=query.device).tril(total - length)
        if window is not None:
            mask = mask.triu(total - length - window + 1)
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=scores.dropout,
        is_causal=mask is None,
        scale=1.0,
        enable_gqa=True,
    )


def _attend_by_chunks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scores: Scores = _PLAIN
) -> torch.Tensor:
    """The same in plain matrix products, a block of queries at a time and only the keys it may see.

    Queries that share a key-value head go through one product together. On a CPU this is 2.4 to 3.1 times as
    fast as the fused kernel, forward and backward: `python benchmarks/attention.py`.
    """
    _, heads, length, size = query.shape
    shared = key.shape[1]
    groups = heads // shared
    grouped, keys, values = query.reshape(shared, groups, length, size), key[0], value[0]
    seen = keys.shape[1] - length
    outputs = []
    for queries in torch.split(grouped, _QUERY_CHUNK, dim=2):
        rows = queries.shape[2]
        first, seen = seen, seen + rows
        low = 0 if scores.window is None else max(0, first + 1 - scores.window)
        raw = torch.bmm(queries.reshape(shared, -1, size), keys[:, low:seen].transpose(1, 2))
        weights = _weights(raw, _hidden(raw, first - low, rows, scores.window), scores)
        outputs.append(torch.bmm(weights, values[:, low:seen]).view(shared, groups, rows, -1))
    return torch.cat(outputs, dim=2).reshape(1, heads, length, -1)


def _hidden(raw: torch.Tensor, first: int, rows: int, window: int | None) -> torch.Tensor:
    """What to add to the scores of a block: minus infinity for keys that a query may not see, else 0.

    Args:
        raw: The scores, (key_value_heads, groups * rows, keys).
        first: Place of the block's first query among the keys.
        rows: Queries of the block.
        window: Most keys a query sees.

    Returns:
        (groups * rows, keys)
    """
    everything = torch.full((rows, raw.shape[2]), -torch.inf, dtype=raw.dtype, device=raw.device)
    hidden = everything.triu(first + 1)
    if window is not None and first + rows > window:
        hidden = hidden + everything.tril(first - window)
    return hidden.repeat(raw.shape[1] // rows, 1)


def _weights(raw: torch.Tensor, hidden: torch.Tensor, scores: Scores) -> torch.Tensor:
    """Attention weights of a block: (key_value_heads, groups * rows, keys)."""
    if scores.softcap is not None:
        raw = torch.tanh(raw / scores.softcap) * scores.softcap
    raw = raw + hidden
    if scores.sinks is None:
        weights = torch.softmax(raw, dim=-1)
    else:
        rows = raw.shape[0] * raw.shape[1] // len(scores.sinks)
        sinks = scores.sinks.to(raw.dtype).repeat_interleave(rows).view(raw.shape[0], -1, 1)
        weights = torch.softmax(torch.cat([raw, sinks], dim=-1), dim=-1)[..., :-1]
    return functional.dropout(weights, scores.dropout) if scores.dropout else weights


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)
