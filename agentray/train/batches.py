"""Which samples a step learns from, and how each worker's share of them lies in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agentray.config import TrainConfig
from agentray.errors import UsageError, closest
from agentray.mix.corpus import Corpus
from agentray.mix.packing import Row, pack
from agentray.mix.samples import Sample
from agentray.mix.stream import Stream


@dataclass(frozen=True)
class Layout:
    """How samples become rows."""

    packed: bool
    """Whether a row holds several samples."""
    sides_apart: bool
    """Whether agent and general samples lie in rows of their own."""


@dataclass(frozen=True)
class Batch:
    """One optimizer step's work, as one worker sees it."""

    rows: list[Row]
    num_general: int
    """How many of the first rows hold general samples alone, apart from the others."""
    num_rows: int
    """Rows on the worker that has most: all workers go through as many."""
    num_targets: int
    """Over all workers."""
    sources: list[str]
    """Source of each of this worker's samples."""


def stream_of(corpus: Corpus, config: TrainConfig) -> Stream:
    """The samples of a training, in order.

    Raises:
        UsageError: The proportions cannot be drawn, or a weight is of no source.
    """
    for name in config.weights:
        if name not in corpus.training:
            raise UsageError(
                f"train.weights names the source {name!r}",
                closest(name, corpus.training),
                "correct its name, or run `agentray mix` again with that source",
            )
    if config.weights:
        corpus = replace(corpus, weights={**corpus.weights, **config.weights})
    return corpus.stream(config.eta)


class Batches:
    """The batches of one worker.

    Args:
        config: Training settings.
        corpus: What to draw from.
        layout: How samples become rows.
        rank: Number of this worker.
        world: How many workers there are.
    """

    def __init__(self, config: TrainConfig, corpus: Corpus, layout: Layout, rank: int, world: int) -> None:
        self._batch_size, self._row_tokens = config.batch_size, config.row_tokens
        self._corpus, self._layout, self._rank, self._world = corpus, layout, rank, world
        self._stream = stream_of(corpus, config)
        self._names = [share.name for share in self._stream.shares]

    def draw(self, step: int) -> Batch:
        """This worker's part of a step's samples; every worker computes every part's size alike."""
        drawn = [self._stream[step * self._batch_size + index] for index in range(self._batch_size)]
        parts = [drawn[rank :: self._world] for rank in range(self._world)]
        sources = [[self._names[source] for source, _ in part] for part in parts]
        packed = [self._pack(*each) for each in zip(parts, sources, strict=True)]
        rows, num_general = packed[self._rank]
        return Batch(
            rows=rows,
            num_general=num_general,
            num_rows=max(len(rows) for rows, _ in packed),
            num_targets=sum(len(row.targets) for rows, _ in packed for row in rows),
            sources=sources[self._rank],
        )

    def validation(self) -> dict[str, tuple[list[Row], int]]:
        """Rows of this worker by validation source, and how many of the first count.

        The others only keep it in step: with sharded weights every worker must run as many rows.
        """
        found = {}
        for name, samples in self._corpus.validation.items():
            shares = [range(rank, len(samples), self._world) or range(1) for rank in range(self._world)]
            packed = [self._lay([samples[index] for index in share]) for share in shares]
            mine = packed[self._rank]
            counted = len(mine) if self._rank < len(samples) else 0
            longest = max(len(rows) for rows in packed)
            found[name] = (mine + mine[-1:] * (longest - len(mine)), counted)
        return found

    def _pack(self, part: Sequence[tuple[int, int]], sources: Sequence[str]) -> tuple[list[Row], int]:
        """Rows of drawn samples, and how many of the first hold general ones alone."""
        samples = [self._corpus.training[name][row] for name, (_, row) in zip(sources, part, strict=True)]
        is_general = np.asarray([name not in self._corpus.agent for name in sources])
        apart = is_general & self._layout.sides_apart
        rows: list[Row] = []
        counts = []
        for members in (np.flatnonzero(apart), np.flatnonzero(~apart)):
            some = self._lay([samples[index] for index in members])
            rows += [replace(row, samples=members[row.samples]) for row in some]
            counts.append(len(some))
        return rows, counts[0]

    def _lay(self, samples: Sequence[Sample]) -> list[Row]:
        return pack(samples, self._row_tokens, alone=not self._layout.packed)
