"""Packing: samples of one optimizer step laid into rows of bounded length.

Samples that begin with the same instruction share one copy of it in a row: its hidden states are computed
once, and each sample attends to it and to itself, never to a neighbour. That is the same function of the
weights as one row per sample, at a fraction of the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from agentray.mix.samples import Ids, Sample

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """A stretch of a row that attends to itself causally, and to all of its prefix when it has one."""

    start: int
    end: int
    prefix_start: int = 0
    prefix_end: int = 0
    """The shared prefix is `[prefix_start, prefix_end)`; empty when both are equal."""


@dataclass(frozen=True)
class Row:
    """Samples packed into one sequence."""

    input_ids: Ids
    """int32 (length,)"""
    position_ids: Positions
    """int64 (length,): place of each token in its own sample."""
    segments: tuple[Segment, ...]
    predict_from: Positions
    """int64 (targets,): positions whose hidden state predicts a token with loss."""
    targets: Ids
    """int32 (targets,): the tokens predicted."""
    samples: Positions
    """int64 (targets,): which sample of the step each target belongs to."""


@dataclass
class _Bin:
    length: int = 0
    prefixes: dict[bytes, None] = field(default_factory=dict)
    members: list[int] = field(default_factory=list)

    def cost(self, sample: Sample, prefix: bytes) -> int:
        shared = sample.prefix_length if prefix in self.prefixes else 0
        return len(sample.input_ids) - shared

    def add(self, index: int, sample: Sample, prefix: bytes) -> None:
        self.length += self.cost(sample, prefix)
        self.members.append(index)
        if prefix:
            self.prefixes[prefix] = None


def pack(samples: Sequence[Sample], row_tokens: int, *, alone: bool = False) -> list[Row]:
    """Lay samples into rows of at most `row_tokens` tokens, longest first into the first row with room.

    A sample longer than `row_tokens` gets a row of its own, and so does every one with `alone`: such a row is
    one segment, with nothing shared.
    """
    if alone:
        whole = [replace(each, prefix_length=0) for each in samples]
        return [_lay([index], whole, [b""] * len(whole)) for index in range(len(whole))]
    keys = [_prefix(sample) for sample in samples]
    order = sorted(range(len(samples)), key=lambda i: (keys[i], -len(samples[i].input_ids), i))
    bins: list[_Bin] = []
    for index in order:
        sample, key = samples[index], keys[index]
        room = (each for each in bins if each.length + each.cost(sample, key) <= row_tokens)
        target = next(room, None)
        if target is None:
            target = _Bin()
            bins.append(target)
        target.add(index, sample, key)
    return [_lay(each.members, samples, keys) for each in bins]


def _prefix(sample: Sample) -> bytes:
    return sample.input_ids[: sample.prefix_length].tobytes()


def _lay(members: Sequence[int], samples: Sequence[Sample], keys: Sequence[bytes]) -> Row:
    """One row of the given samples, each shared prefix first where it is needed."""
    ids: list[Ids] = []
    positions: list[Positions] = []
    segments: list[Segment] = []
    predict: list[Positions] = []
    targets: list[Ids] = []
    owners: list[Positions] = []
    placed: dict[bytes, Segment] = {}
    cursor = 0
    for index in members:
        sample, shared = samples[index], samples[index].prefix_length
        if shared and keys[index] not in placed:
            placed[keys[index]] = Segment(cursor, cursor + shared)
            segments.append(placed[keys[index]])
            ids.append(sample.input_ids[:shared])
            positions.append(np.arange(shared))
            cursor += shared
        prefix = placed[keys[index]] if shared else Segment(cursor, cursor)
        own = len(sample.input_ids) - shared
        segments.append(Segment(cursor, cursor + own, prefix.start, prefix.end))
        ids.append(sample.input_ids[shared:])
        positions.append(np.arange(shared, shared + own))
        with_loss = np.flatnonzero(sample.loss_mask[1:]) + 1  # the first token has nothing before it
        before = with_loss - 1
        in_prefix = before < shared
        predict.append(np.where(in_prefix, prefix.start + before, cursor + before - shared))
        targets.append(sample.input_ids[with_loss])
        owners.append(np.full(len(with_loss), index))
        cursor += own
    return Row(
        input_ids=np.concatenate(ids),
        position_ids=np.concatenate(positions),
        segments=tuple(segments),
        predict_from=np.concatenate(predict),
        targets=np.concatenate(targets),
        samples=np.concatenate(owners),
    )


class SharedPrefix:
    """The prefix without loss that all samples of a source have in common, found sample by sample.

    Args:
        minimum: Fewest tokens that are worth sharing.
    """

    def __init__(self, minimum: int = 16) -> None:
        self._minimum = minimum
        self._first: Ids | None = None
        self._common = self._num_samples = 0

    def add(self, sample: Sample) -> None:
        """Take a sample in."""
        self._num_samples += 1
        own = sample.input_ids[: int(np.argmax(sample.loss_mask))]
        if self._first is None:
            self._first, self._common = own, len(own)
        self._common = min(self._common, len(own))
        different = np.flatnonzero(self._first[: self._common] != own[: self._common])
        if len(different):
            self._common = int(different[0])

    @property
    def length(self) -> int:
        """Its tokens; 0 where it is not worth sharing."""
        return self._common if self._num_samples > 1 and self._common >= self._minimum else 0
