"""The test side of a comparison: the examples of all test sets, cut into tokens one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentray.contamination.documents import Document, Source, TaskName
from agentray.contamination.words import Positions, Tokenizer, Tokens
from agentray.errors import DataError


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
    """Records that are no examples, by reason."""


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
            f"{name!r} holds no text", f"records left out: {dict(left_out) or 'none'}", "give another source"
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
