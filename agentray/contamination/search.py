"""Both sides of a comparison: the test sets, and what a part of a training source shares with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agentray.contamination.sources import Document, Part, Source, TaskName
from agentray.contamination.spans import Index, Spans, join, match, maximal, no_spans
from agentray.contamination.tokens import Positions, Tokenizer, Tokens
from agentray.errors import DataError

_BATCH_CHARACTERS = 1 << 20
"""Text cut and matched at once: arrays of this size stay in the processor's cache."""


@dataclass(frozen=True)
class ExampleSet:
    """One test set, and its place among the tokens of all."""

    name: str
    examples: tuple[str, ...]
    """Names of its examples."""
    bounds: Positions
    """int64 (examples + 1,): example `e` has the tokens from `bounds[e]` to before `bounds[e + 1]`."""
    tasks: tuple[TaskName, ...]
    """The tasks that its examples are about, where they come from an environment."""
    left_out: Mapping[str, int]
    """Records that are not examples, by reason."""


@dataclass(frozen=True)
class Examples:
    """All test sets."""

    sets: tuple[ExampleSet, ...]
    tokens: Tokens


def read_examples(sources: Sequence[Source], tokenizer: Tokenizer) -> Examples:
    """Read and cut test sets; of several attempts at one task only the first is an example.

    Raises:
        DataError: A set holds no example, or a record cannot be read.
    """
    read = [_read(source) for source in sources]
    tokens = tokenizer.tokenize([text for each in read for text in each.texts])
    sets, first = [], 0
    for source, each in zip(sources, read, strict=True):
        last = first + len(each.texts)
        bounds = tokens.bounds[first : last + 1]
        sets.append(ExampleSet(source.name, each.names, bounds, each.tasks, each.left_out))
        first = last
    return Examples(tuple(sets), tokens)


def check_text(name: str, num_documents: int, left_out: Mapping[str, int]) -> None:
    """Check that a source held anything.

    Raises:
        DataError: It did not.
    """
    if not num_documents:
        raise DataError(
            f"{name!r} holds no text", f"records excluded: {dict(left_out) or 'none'}", "give another source"
        )


@dataclass(frozen=True)
class _Set:
    names: tuple[str, ...]
    texts: tuple[str, ...]
    tasks: tuple[TaskName, ...]
    left_out: Mapping[str, int]


def _read(source: Source) -> _Set:
    kept: list[tuple[str, Document]] = []
    left_out: Counter[str] = Counter()
    seen: set[TaskName] = set()
    everything = (each for part in source.parts() for each in source.documents(part, "test"))
    for number, document in enumerate(everything, 1):
        reason = document.left_out or ("another_attempt" if document.task in seen else None)
        if reason:
            left_out[reason] += 1
            continue
        kept.append((document.id or f"#{number}", document))
        seen |= {document.task} if document.task else set()
    check_text(source.name, len(kept), left_out)
    return _Set(
        names=tuple(name for name, _ in kept),
        texts=tuple(document.text for _, document in kept),
        tasks=tuple(document.task for _, document in kept if document.task),
        left_out=dict(left_out),
    )


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
