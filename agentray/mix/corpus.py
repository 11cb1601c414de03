"""The mix stage: tokenizes every corpus once and states in what proportion training draws from them.

    agentray mix --agent runs/filtered --general chats.jsonl --model smollm2-135m --out runs/mixed

Output: `corpus.parquet` (token ids, loss masks), `mixture.json` (η, weights, seed) and the manifest.
Training, and every trial of a sweep over η, reads the same corpus.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agentray import manifest
from agentray.chat import Template
from agentray.chat.loading import context_length, fingerprint, load_template
from agentray.config import MixConfig
from agentray.errors import DataError, UsageError
from agentray.mix import samples
from agentray.mix import stream as mixture
from agentray.mix.packing import shared_prefix_length
from agentray.mix.samples import Sample
from agentray.mix.sources import Contents, check_usable, read_sources
from agentray.types import Conversation, Progress, Rejection, silent

_CORPUS = "corpus.parquet"
_MIXTURE = "mixture.json"
_PREVIEW = 10_000
"""Samples drawn to report the ratios that a stream realises."""
REJECTED = "rejected.jsonl"
"""File that names every conversation that is not used."""


@dataclass(frozen=True)
class Corpus:
    """Tokenized samples by source, and how to draw from them."""

    training: Mapping[str, list[Sample]]
    validation: Mapping[str, list[Sample]]
    agent: tuple[str, ...]
    """Sources on the agent side; the others are general."""
    weights: Mapping[str, float]
    """Weight by general source."""
    eta: float
    seed: int
    tokenizer: str = ""
    """Fingerprint of the tokenizer that made its ids."""
    chat_template: str | None = None
    """The chat template that made its texts; None is the tokenizer's default."""

    def stream(self, eta: float | None = None) -> mixture.Stream:
        """The sample stream; `eta` replaces the corpus's own."""
        agent = {name: len(self.training[name]) for name in self.agent}
        general = {
            name: (len(rows), self.weights[name])
            for name, rows in self.training.items()
            if name not in self.agent
        }
        drawn = mixture.sources(agent, general, self.eta if eta is None else eta)
        return mixture.Stream(drawn, self.seed)


@dataclass(frozen=True)
class MixSummary:
    """What was tokenized: per source `read == training + validation + sum(rejected)`, in conversations."""

    out: str
    eta: float
    read: Mapping[str, int]
    training: Mapping[str, int]
    validation: Mapping[str, int]
    rejected: Mapping[str, Mapping[str, int]]
    """Why conversations are not used; `rejected.jsonl` names each of them."""
    samples: Mapping[str, int]
    """Training samples: where the chat template rewrites history there is one per reply."""
    tokens: Mapping[str, int]
    """Training tokens by source."""
    loss_tokens: Mapping[str, int]
    """Those with loss."""
    realised: Mapping[str, float]
    """Share of each source in the first samples of the stream."""
    adapted: Mapping[str, int]
    """Conversations by what was done so that the chat template takes them: `system_folded` into the first
    user turn, `turns_merged`, `history_rewritten` (one sample per reply), `opening_differs` (the template
    writes a finished reply otherwise than it opens one, so that inference begins with something more)."""
    unknown_fields: Mapping[str, Mapping[str, int]]
    """Fields of records that were not used, with the number of records that have them, by source."""
    set_aside: Sequence[str] = ()
    """Files that could not be read."""


def run(config: MixConfig, progress: Progress = silent) -> MixSummary:
    """Tokenize and mask every conversation, prove the masks, and write the corpus.

    Raises:
        UsageError: A file does not exist, two sources have one name, the proportions cannot be drawn, or
            `out` overlaps what is read or holds something else.
        DataError: A source holds nothing that can be read, or is on both sides; or nothing of a side is left.
    """
    started = time.monotonic()
    inputs = [source.path for source in (*config.agent, *config.general)]
    manifest.check_output(config.out, "mix", inputs)
    template = load_template(config.model, config.template)
    set_aside: list[str] = []
    agent, general = read_sources(config, set_aside)
    limit = min(config.max_length, context_length(config.model) or config.max_length)
    adapted: Counter[str] = Counter()
    tokenized: dict[str, list[list[Sample]]] = {}
    for number, (name, contents) in enumerate((agent | general).items(), 1):
        tokenized[name] = _tokenize(contents, template, limit, adapted)
        progress(number, len(agent | general), source=name)
    check_usable("agent", config.eta, agent, tokenized, limit)
    check_usable("general", 1 - config.eta, general, tokenized, limit)
    parts = {
        name: _hold_out(rows, config.validation_fraction if name in general else 0.0, config.seed)
        for name, rows in tokenized.items()
    }
    corpus = Corpus(
        training={name: list(chain.from_iterable(rows)) for name, (rows, _) in parts.items()},
        validation={name: list(chain.from_iterable(rows)) for name, (_, rows) in parts.items() if rows},
        agent=tuple(agent),
        weights={source.name: source.weight for source in config.general},
        eta=config.eta,
        seed=config.seed,
        tokenizer=fingerprint(template.tokenizer),
        chat_template=template.chosen,
    )
    summary = replace(
        _summarize(config, corpus, agent | general, parts), adapted=adapted, set_aside=set_aside
    )
    manifest.start_over(config.out, "mix", inputs)
    _write(config.out, corpus)
    _write_rejected(config.out, agent | general)
    digests = {str(path): manifest.digest(path) for path in inputs}
    document = manifest.Manifest(
        "mix", config.model_dump(mode="json"), asdict(summary), digests, time.monotonic() - started
    )
    manifest.write(config.out, document)
    return summary


def _summarize(
    config: MixConfig,
    corpus: Corpus,
    read: Mapping[str, Contents],
    parts: Mapping[str, tuple[Sequence[object], Sequence[object]]],
) -> MixSummary:
    """Counts of records and conversations, and the ratios that the stream realises.

    Raises:
        UsageError: The proportions cannot be drawn.
    """
    stream = corpus.stream()
    drawn = Counter(stream.sources[stream[index][0]].name for index in range(_PREVIEW))
    training = corpus.training.items()
    return MixSummary(
        out=str(config.out),
        eta=config.eta,
        read={name: contents.read for name, contents in read.items()},
        training={name: len(rows) for name, (rows, _) in parts.items()},
        validation={name: len(rows) for name, (_, rows) in parts.items() if rows},
        rejected={
            name: dict(Counter(each.reason for each in contents.rejected)) for name, contents in read.items()
        },
        samples={name: len(rows) for name, rows in training},
        tokens={name: sum(len(row.input_ids) for row in rows) for name, rows in training},
        loss_tokens={name: int(sum(row.loss_mask.sum() for row in rows)) for name, rows in training},
        realised={name: count / _PREVIEW for name, count in sorted(drawn.items())},
        adapted={},
        unknown_fields={name: dict(each.unknown) for name, each in read.items() if each.unknown},
    )


def read_corpus(directory: Path) -> Corpus:
    """The corpus that `run` wrote.

    Raises:
        UsageError: The directory is not the finished output of `agentray mix`.
        DataError: A file of it is damaged.
    """
    with _reading(directory):
        return _read_corpus(directory)


def _read_corpus(directory: Path) -> Corpus:
    document = json.loads((directory / _MIXTURE).read_text(encoding="utf-8"))
    parts: dict[str, dict[str, list[Sample]]] = {"training": {}, "validation": {}}
    for row in pq.read_table(directory / _CORPUS).to_pylist():
        mask = np.zeros(len(row["input_ids"]), np.bool_)
        for start, end in zip(row["loss_starts"], row["loss_ends"], strict=True):
            mask[start:end] = True
        sample = Sample(np.asarray(row["input_ids"], np.int32), mask, row["prefix_length"])
        parts[row["part"]].setdefault(row["source"], []).append(sample)
    for name in document["agent"]:
        parts["training"].setdefault(name, [])
    return Corpus(
        training=parts["training"],
        validation=parts["validation"],
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
        DataError: A file of it is missing.
    """
    with _reading(directory):
        parts = [manifest.digest(directory / name) for name in (_CORPUS, _MIXTURE)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


@contextmanager
def _reading(directory: Path) -> Iterator[None]:
    """Refuse what is no output of `agentray mix`, and say so where it is damaged."""
    stage = manifest.read(directory).stage
    if stage != "mix":
        raise UsageError(
            f"{str(directory)!r} holds no tokenized corpus",
            f"it is the output of another stage, {stage!r}",
            "give the output of `agentray mix`",
        )
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot read the corpus in {str(directory)!r}", repr(error), "run `agentray mix` again"
        ) from error


def _tokenize(
    contents: Contents, template: Template, limit: int, adapted: Counter[str]
) -> list[list[Sample]]:
    """Samples of each conversation of a source, their common instruction marked.

    Those that give none are added to the source's rejected ones, what was done to others to `adapted`.
    """
    found: list[list[Sample]] = []
    used: list[Conversation] = []
    for conversation in contents.conversations:
        outcome = samples.build(conversation, template, max_length=limit)
        if isinstance(outcome, Rejection):
            contents.rejected.append(outcome)
            continue
        found.append(outcome.samples)
        adapted.update(outcome.adapted)
        used.append(conversation)
    contents.conversations[:] = used
    shared = shared_prefix_length([sample for each in found for sample in each])
    return [[replace(sample, prefix_length=shared) for sample in each] for each in found]


def _hold_out(
    rows: list[list[Sample]], fraction: float, seed: int
) -> tuple[list[list[Sample]], list[list[Sample]]]:
    """Conversations to train and to validate on; at least one of each when both are wanted and possible."""
    count = round(len(rows) * fraction)
    if fraction > 0 and len(rows) > 1:
        count = min(max(count, 1), len(rows) - 1)
    chosen = set(np.random.default_rng([seed, 2]).permutation(len(rows))[:count].tolist())
    return (
        [row for index, row in enumerate(rows) if index not in chosen],
        [row for index, row in enumerate(rows) if index in chosen],
    )


def _write_rejected(directory: Path, read: Mapping[str, Contents]) -> None:
    """Name every conversation that is not used, a line each."""
    with (directory / REJECTED).open("w", encoding="utf-8") as stream:
        for name, contents in read.items():
            for each in contents.rejected:
                stream.write(json.dumps({"source": name, **asdict(each)}, ensure_ascii=True) + "\n")


def _write(directory: Path, corpus: Corpus) -> None:
    rows = []
    for part, by_source in (("training", corpus.training), ("validation", corpus.validation)):
        for source, sources_rows in by_source.items():
            for sample in sources_rows:
                edges = np.flatnonzero(np.diff(np.concatenate([[0], sample.loss_mask, [0]]).astype(np.int8)))
                rows.append(
                    {
                        "part": part,
                        "source": source,
                        "input_ids": sample.input_ids,
                        "loss_starts": edges[::2],
                        "loss_ends": edges[1::2],
                        "prefix_length": sample.prefix_length,
                    }
                )
    spans = pa.list_(pa.int32())
    schema = pa.schema(
        [
            ("part", pa.string()),
            ("source", pa.string()),
            ("input_ids", spans),
            ("loss_starts", spans),
            ("loss_ends", spans),
            ("prefix_length", pa.int32()),
        ]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), directory / _CORPUS, compression="zstd")
    document = {
        "agent": list(corpus.agent),
        "weights": dict(corpus.weights),
        "eta": corpus.eta,
        "seed": corpus.seed,
        "tokenizer": corpus.tokenizer,
        "chat_template": corpus.chat_template,
    }
    manifest.write_json(directory / _MIXTURE, document)
