"""Proof before the first step that training computes the model's own loss.

Packed rows need attention of our own, and not every architecture lets it in: a convolution, a recurrent
state or a bias computed elsewhere mixes neighbours without a word. So a few short samples of the corpus go
through the plain model, one by one as `transformers` computes them, and through the model as training would
call it. Rows are packed if the losses are equal; else they hold one sample each, if that is equal; else
nothing is trained.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig

from agentray.errors import AgentrayError, DataError
from agentray.mix.packing import pack
from agentray.mix.rows import lengths
from agentray.mix.samples import Sample
from agentray.train.attention import ATTENTION
from agentray.train.model import load, token_losses

TOLERANCE = 2e-4
"""Largest difference of a token's loss that float32 explains, as a share of the losses' standard deviation:
in a model whose predictions are nearly flat, wrong ones are too. Sums in another order make up to 2e-5 of
it in tiny random models and 8e-6 in SmolLM2-135M. A neighbour seen makes 1e-3 or more even in a flat LFM2; in
weights as large as trained ones, what is ignored makes 2e-2 to 4 (`tests/unit/train/test_parity.py`)."""
_ROUNDING = 2e-6
"""Difference in nats that is always rounding: two steps of a float32 between 8 and 16."""
_LADDER = (ATTENTION, "sdpa", "eager")
"""Attention to try, in this order; rows are packed with the first alone."""
_SAMPLE_TOKENS = 64
"""Length of a sample in the check, unless a window is longer than that."""
_PREFIX_TOKENS = 24
"""Length of a shared prefix in it."""
_BEYOND = 48
"""Tokens by which its longest sample exceeds a window that some sample of the corpus exceeds."""
_WHOLE = 500_000_000
"""Parameters up to which a model is checked whole; of a larger one, its first layers."""
_FEWEST_LAYERS = 4
"""Layers of a larger model that are checked at least: the period of most patterns that no list spells out."""


@dataclass(frozen=True)
class Parity:
    """How the loss in training compares with the plain model's."""

    max_difference: float
    """Largest difference of a token's loss, in nats, in the rows that training uses."""
    packed: bool
    """Whether rows hold several samples."""
    attention: str
    """Attention in training: ours, or the name of one of `transformers`' own."""
    tolerance: float
    """What float32 explains of it, in nats."""
    num_tokens: int
    """Losses compared."""
    reason: str | None = None
    """Why rows are not packed; None if they are."""


def check(model: str, sources: Sequence[Sequence[Sample]], device: torch.device) -> Parity:
    """Compare the loss in training with that of the plain model, in float32.

    Args:
        model: A model directory or id.
        sources: The corpus: samples of each source, which may share a prefix.
        device: Where to compute: attention differs between CPU and GPU.

    Returns:
        The first way of training whose losses are equal but for rounding.

    Raises:
        UsageError: The model cannot be loaded.
        DataError: No way computes the model's own loss.
    """
    config = AutoConfig.from_pretrained(model)
    probes = probe(sources, limits(config))
    config = shallow(config)
    expected = _plain_losses(model, config, probes, device)
    losses = torch.cat(expected)
    tolerance = TOLERANCE * float(losses.std()) + _ROUNDING
    failures: list[str] = []
    for attention in _LADDER:
        try:
            difference = _difference(model, config, attention, probes, expected, device)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a model makes of arguments that it does not know
            failures.append(f"{_way(attention)}: {_first_line(error)}")
            continue
        if difference <= tolerance:
            reason = "; ".join(failures) or None
            return Parity(difference, attention == ATTENTION, attention, tolerance, len(losses), reason)
        failures.append(f"{_way(attention)}: losses differ by up to {difference:.2g}")
    raise DataError(
        f"training would not compute the loss of model {model!r}",
        f"against `transformers`' own, of which {tolerance:.2g} is rounding: {'; '.join(failures)}",
        "train another model, and report this architecture",
    )


def probe(sources: Sequence[Sequence[Sample]], limits: Sequence[int]) -> list[Sample]:
    """Short samples that show what the corpus's own would: neighbours, shared prefixes, windows exceeded.

    Args:
        sources: Samples of each source of the corpus.
        limits: Lengths at which the model's attention changes.

    Returns:
        Two samples of each of the two sources with the longest; every token but the first has loss.
    """
    sources = sorted((each for each in sources if each), key=_longest, reverse=True)[:2]
    assert sources, "a corpus holds samples"
    exceeded = [limit for limit in limits if _longest(sources[0]) > limit]
    chosen: list[Sample] = []
    for source in sources:
        longest = np.argsort(-lengths(source), kind="stable")[:2]
        members = [source[int(row)] for row in longest]
        chosen += members if len(members) > 1 else members * 2
    sizes = [_SAMPLE_TOKENS - 8 * index for index in range(len(chosen))]
    if exceeded:  # positions of one sample must not change with the length of another
        sizes[0] = max(sizes[0], max(exceeded) + _BEYOND)
        sizes[-1] = min(sizes[-1], min(exceeded) // 2)
    return [_shorten(sample, length) for sample, length in zip(chosen, sizes, strict=True)]


def _longest(samples: Sequence[Sample]) -> int:
    return int(lengths(samples).max())


def _shorten(sample: Sample, length: int) -> Sample:
    """The first tokens of a sample's prefix, then the first of its own: ids like any others to a model."""
    shared = min(sample.prefix_length, _PREFIX_TOKENS)
    own = sample.input_ids[sample.prefix_length :][: max(2, length - shared)]
    ids = np.concatenate([sample.input_ids[:shared], own])
    return Sample(ids, np.arange(len(ids)) > 0, shared)


def limits(config: PreTrainedConfig) -> list[int]:
    """Lengths in tokens at which a model's attention or positions change: windows, chunks, first context."""
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    names = ("sliding_window", "attention_chunk_size", "original_max_position_embeddings")
    values = [getattr(text, name, None) for name in names]
    values += [each.get(names[-1]) for each in (rope, *rope.values()) if isinstance(each, dict)]
    return [int(each) for each in values if isinstance(each, int | float) and each > 0]


def shallow(config: PreTrainedConfig) -> PreTrainedConfig:
    """The same configuration, of a large model with no more layers than show each of their types."""
    with torch.device("meta"):
        whole = AutoModelForCausalLM.from_config(config)
    if sum(each.numel() for each in whole.parameters()) <= _WHOLE:
        return config
    config = copy.deepcopy(config)
    text = config.get_text_config()
    depth = text.num_hidden_layers
    lists = {name: value for name, value in vars(text).items() if _is_per_layer(value, depth)}
    kept = min(depth, _FEWEST_LAYERS)
    while any(set(value[:kept]) != set(value) for value in lists.values()):
        kept += 1
    for name, value in lists.items():
        setattr(text, name, value[:kept])
    text.num_hidden_layers = kept
    return config


def _is_per_layer(value: Any, depth: int) -> bool:
    return isinstance(value, list) and len(value) == depth and all(isinstance(v, str | int) for v in value)


@torch.no_grad()
def _plain_losses(
    model: str, config: PreTrainedConfig, samples: Sequence[Sample], device: torch.device
) -> list[torch.Tensor]:
    """Every token's loss as `transformers` computes it, float32 (length - 1,) by sample."""
    plain = load(model, torch.float32, "eager", copy.deepcopy(config)).to(device).eval()
    found = []
    for sample in samples:
        ids = torch.from_numpy(sample.input_ids).long().to(device)
        logits = plain(input_ids=ids[None]).logits[0, :-1].float()
        found.append(functional.cross_entropy(logits, ids[1:], reduction="none").cpu())
    return found


@torch.no_grad()
def _difference(
    model: str,
    config: PreTrainedConfig,
    attention: str,
    samples: Sequence[Sample],
    expected: Sequence[torch.Tensor],
    device: torch.device,
) -> float:
    """Largest difference of a token's loss between training with this attention and the plain model."""
    ours = load(model, torch.float32, attention, copy.deepcopy(config)).to(device).eval()
    largest = 0.0
    for row in pack(samples, sum(len(each.input_ids) for each in samples), alone=attention != ATTENTION):
        losses = token_losses(ours, row).cpu()
        for index in np.unique(row.samples).tolist():
            mine = losses[torch.from_numpy(row.samples == index)]
            difference = float((mine - expected[index]).abs().max())
            largest = max(largest, math.inf if math.isnan(difference) else difference)
    return largest


def _way(attention: str) -> str:
    return "packed" if attention == ATTENTION else f"one sample a row, {attention} attention"


def _first_line(error: Exception) -> str:
    if isinstance(error, AgentrayError):
        return error.why.partition(". ")[0]
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"
