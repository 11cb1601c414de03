"""One part of a training source against the index: read, cut, match, and keep what there is to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentray.contamination.documents import Document, Part, Source, TaskName
from agentray.contamination.spans import Index, Spans, join, match, maximal, no_spans
from agentray.contamination.words import Tokenizer

_BATCH_CHARACTERS = 1 << 20
"""Text cut and matched at once: arrays of this size stay in the processor's cache."""


@dataclass(frozen=True)
class Hit:
    """A span, and where in the training text it lies."""

    start: int
    """First token in the test side."""
    stop: int
    """After its last token there."""
    example: str | None
    """Name of the training record; None where it has none."""
    number: int
    """Its number in the part."""
    text: str
    """The span's text there."""


@dataclass(frozen=True)
class Found:
    """What one part holds."""

    part: int
    num_records: int
    """Records read: `num_documents + sum(left_out.values())`."""
    num_documents: int
    num_tokens: int
    num_bytes: int
    """Of text, in UTF-8."""
    left_out: Mapping[str, int]
    """Records without text, by reason."""
    hits: Sequence[Hit]
    """Spans that lie in no other of this part."""
    tasks: Sequence[TaskName]
    """Tasks that the test side has too."""


@dataclass(frozen=True)
class Search:
    """What a worker needs to search any part."""

    index: Index
    tokenizer: Tokenizer
    parts: Sequence[tuple[Source, Part]]
    tasks: frozenset[tuple[str, str]]
    """Environment and fingerprint of the test side's tasks."""

    def __call__(self, number: int) -> Found:
        """Search one part.

        Args:
            number: Its place in `parts`.
        """
        source, part = self.parts[number]
        left_out: Counter[str] = Counter()
        num_tokens = num_bytes = num_documents = 0
        known, hits = no_spans(), list[Hit]()
        tasks: dict[TaskName, None] = {}
        for batch in _batches(source.documents(part, "train")):
            left_out.update(each.left_out for each in batch if each.left_out)
            documents = [each for each in batch if not each.left_out]
            named = (each.task for each in documents if each.task)
            tasks |= {task: None for task in named if (task.env, task.fingerprint) in self.tasks}
            tokens = self.tokenizer.tokenize([each.text for each in documents])
            spans = match(self.index, tokens, known)
            rows = np.arange(len(hits), len(hits) + len(spans.firsts))
            known = maximal(join(known, spans._replace(firsts=rows)))
            owners = np.searchsorted(tokens.bounds, spans.firsts, side="right") - 1
            for start, stop, first, owner in np.stack((*spans, owners), axis=1).tolist():
                text = self.tokenizer.passage(tokens, first, first + stop - start)
                hits.append(Hit(start, stop, documents[owner].id, documents[owner].number, text))
            num_documents += len(documents)
            num_tokens += len(tokens.starts)
            num_bytes += sum(map(_num_bytes, documents))
        num_records = num_documents + left_out.total()
        kept = [hits[row] for row in known.firsts]
        return Found(number, num_records, num_documents, num_tokens, num_bytes, left_out, kept, [*tasks])


def _num_bytes(document: Document) -> int:
    text = document.text
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def outermost(edges: Sequence[tuple[int, int]]) -> list[int]:
    """Rows of the spans that lie in no other; of equal ones the first."""
    starts, stops = (
        np.array(column, np.int64) for column in (zip(*edges, strict=True) if edges else ((), ()))
    )
    rows: list[int] = maximal(Spans(starts, stops, np.arange(len(edges)))).firsts.tolist()
    return rows


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Consecutive documents, together about as long as a batch should be."""
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
