"""What training reads: tokenized samples by source, and how to draw from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from agentray import manifest
from agentray.errors import DataError, UsageError
from agentray.mix.rows import Rows
from agentray.mix.samples import Sample
from agentray.mix.stream import Stream, shares

MIXTURE = "mixture.json"
"""File that says what the corpus holds and in what proportion it is drawn."""
ROWS = "corpus"
"""Directory of the samples."""
VERSION = 2
"""Of both; version 1 was one Parquet file."""


@dataclass(frozen=True)
class Corpus:
    """Tokenized samples by source, and how to draw from them."""

    training: Mapping[str, Sequence[Sample]]
    validation: Mapping[str, Sequence[Sample]]
    agent: tuple[str, ...]
    """Sources on the agent side; the others are general."""
    weights: Mapping[str, float]
    """Weight by source; one on the agent side that has none weighs as much as it has samples."""
    eta: float
    seed: int
    tokenizer: str = ""
    """Fingerprint of the tokenizer that made its ids."""
    chat_template: str | None = None
    """The chat template that made its texts; None is the tokenizer's default."""

    def stream(self, eta: float | None = None) -> Stream:
        """The sample stream; `eta` replaces the corpus's own.

        Raises:
            UsageError: The proportions cannot be drawn.
        """
        sizes = {name: len(rows) for name, rows in self.training.items()}
        weighed = {name: (size, self.weights.get(name, size)) for name, size in sizes.items()}
        agent = {name: weighed[name] for name in self.agent}
        general = {name: each for name, each in weighed.items() if name not in self.agent}
        return Stream(shares(agent, general, self.eta if eta is None else eta), self.seed)


def read_corpus(directory: Path) -> Corpus:
    """The corpus that `agentray mix` wrote; its samples are read when they are asked for.

    Raises:
        UsageError: The directory is not the finished output of `agentray mix`.
        DataError: A file of it is damaged, or an earlier version wrote it.
    """
    with _reading(directory) as document:
        return open_corpus(directory, document)


def open_corpus(directory: Path, document: Mapping[str, Any]) -> Corpus:
    """The corpus in a directory that its `mixture.json` describes."""
    training: dict[str, Sequence[Sample]] = {}
    validation: dict[str, Sequence[Sample]] = {}
    for name, source in document["sources"].items():
        paths = [directory / ROWS / str(file["name"]) for file in source["files"]]
        rows = Rows(paths, prefix_length=source["prefix_length"], largest_id=source["largest_id"])
        held_out = np.asarray(source["validation"], np.int64)
        training[name] = rows
        if len(held_out):
            validation[name] = rows.only(held_out)
            training[name] = rows.only(np.delete(np.arange(len(rows)), held_out))
    return Corpus(
        training=training,
        validation=validation,
        agent=tuple(document["agent"]),
        weights=document["weights"],
        eta=document["eta"],
        seed=document["seed"],
        tokenizer=document["tokenizer"],
        chat_template=document["chat_template"],
    )


def corpus_digest(directory: Path) -> str:
    """Identity of a corpus: equal for equal samples and proportions. 16 hex digits.

    Raises:
        UsageError: The directory is not the finished output of `agentray mix`.
        DataError: A file of it is missing, or an earlier version wrote it.
    """
    with _reading(directory) as document:  # which holds the digests of the files
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def _reading(directory: Path) -> Iterator[dict[str, Any]]:
    """The document of a corpus; refuses what is not the output of `agentray mix`, and names damage."""
    stage = manifest.read(directory).stage
    if stage != "mix":
        raise UsageError(
            f"{str(directory)!r} holds no tokenized corpus",
            f"it is the output of another stage, {stage!r}",
            "give the output of `agentray mix`",
        )
    what, fix = f"cannot read the corpus in {str(directory)!r}", "run `agentray mix` again"
    try:
        document = json.loads((directory / MIXTURE).read_text(encoding="utf-8"))
        version = document.get("version", 1)
        if version == VERSION:
            yield document
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(what, repr(error), fix) from error
    if version != VERSION:
        raise DataError(what, f"it has version {version!r}, this agentray reads version {VERSION}", fix)
