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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agentray import manifest
from agentray.config import GeneralSource, MixConfig
from agentray.data import mixture, samples
from agentray.data.formats import read_conversations
from agentray.data.packing import shared_prefix_length
from agentray.data.records import messages
from agentray.data.samples import Sample
from agentray.data.store import read_run
from agentray.errors import DataError, UsageError
from agentray.models import resolve_model, unloadable
from agentray.types import Message, Trajectory

_CORPUS = "corpus.parquet"
_MIXTURE = "mixture.json"
_PREVIEW = 10_000
"""Samples drawn to report the ratios that a stream realises."""

Conversation = Sequence[Message]


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
    """What was tokenized: per source `read == training + validation + sum(rejected)`."""

    out: str
    eta: float
    read: Mapping[str, int]
    training: Mapping[str, int]
    validation: Mapping[str, int]
    rejected: Mapping[str, Mapping[str, int]]
    tokens: Mapping[str, int]
    """Training tokens by source."""
    loss_tokens: Mapping[str, int]
    """Those with loss."""
    realised: Mapping[str, float]
    """Share of each source in the first samples of the stream."""
    set_aside: Sequence[str] = ()
    """Files that could not be read."""


def run(config: MixConfig) -> MixSummary:
    """Tokenize and mask every conversation, prove the masks, and write the corpus.

    Raises:
        UsageError: A file does not exist, two sources have one name, the proportions cannot be drawn, or
            `out` overlaps what is read or holds something else.
        TemplateError: The chat template does not tell where replies are.
        DataError: A source holds nothing that can be read, or is on both sides.
    """
    started = time.monotonic()
    inputs = [*config.agent, *(source.path for source in config.general)]
    manifest.check_output(config.out, "mix", inputs)
    _check_names(config.general)
    tokenizer = load_tokenizer(config.model)
    set_aside: list[str] = []
    agent, general = _read_agent(config.agent, set_aside), _read_general(config.general, set_aside)
    _check_sides(agent, config.general)
    tokenized: dict[str, list[Sample]] = {}
    rejected: dict[str, Counter[str]] = {}
    read: dict[str, int] = {}
    for name, (conversations, lost) in {**agent, **general}.items():
        tokenized[name], why = _tokenize(conversations, tokenizer, config.max_length)
        rejected[name] = why + Counter(lost)
        read[name] = len(conversations) + sum(lost.values())
    held_out = {
        name: _hold_out(rows, config.validation_fraction if name in general else 0.0, config.seed)
        for name, rows in tokenized.items()
    }
    corpus = Corpus(
        training={name: rows for name, (rows, _) in held_out.items()},
        validation={name: rows for name, (_, rows) in held_out.items() if rows},
        agent=tuple(agent),
        weights={source.name: source.weight for source in config.general},
        eta=config.eta,
        seed=config.seed,
        tokenizer=fingerprint(tokenizer),
    )
    summary = replace(_summarize(config, corpus, read, rejected), set_aside=set_aside)
    manifest.start_over(config.out, "mix", inputs)
    _write(config.out, corpus)
    digests = {str(path): manifest.digest(path) for path in inputs}
    document = manifest.Manifest(
        "mix", config.model_dump(mode="json"), asdict(summary), digests, time.monotonic() - started
    )
    manifest.write(config.out, document)
    return summary


def _summarize(
    config: MixConfig, corpus: Corpus, read: Mapping[str, int], rejected: Mapping[str, Mapping[str, int]]
) -> MixSummary:
    """Counts, and the ratios that the stream realises.

    Raises:
        UsageError: The proportions cannot be drawn.
    """
    stream = corpus.stream()
    drawn = Counter(stream.sources[stream[index][0]].name for index in range(_PREVIEW))
    training = corpus.training.items()
    return MixSummary(
        out=str(config.out),
        eta=config.eta,
        read=read,
        training={name: len(rows) for name, rows in training},
        validation={name: len(rows) for name, rows in corpus.validation.items()},
        rejected={name: dict(why) for name, why in rejected.items()},
        tokens={name: sum(len(row.input_ids) for row in rows) for name, rows in training},
        loss_tokens={name: int(sum(row.loss_mask.sum() for row in rows)) for name, rows in training},
        realised={name: count / _PREVIEW for name, count in sorted(drawn.items())},
    )


def load_tokenizer(model: str) -> Any:
    """The tokenizer of a model.

    Raises:
        UsageError: There is no such model, or its tokenizer cannot be loaded.
        DataError: It has no chat template.
    """
    from transformers import AutoTokenizer

    place = resolve_model(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
    except Exception as error:  # a broken file raises what it happens to break
        raise unloadable(model, error) from error
    if not tokenizer.chat_template:
        raise DataError(
            f"model {model!r} has no chat template",
            "conversations cannot be rendered without one",
            "use an instruction-tuned model",
        )
    return tokenizer


def fingerprint(tokenizer: Any) -> str:
    """Identity of a tokenizer: equal where every text has equal ids. 16 hex digits."""
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=True)
    return hashlib.sha256(vocabulary.encode()).hexdigest()[:16]


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


def _read_agent(
    directories: Sequence[Path], set_aside: list[str]
) -> dict[str, tuple[list[Conversation], Mapping[str, int]]]:
    """Conversations by environment; files that cannot be read are added to `set_aside`."""
    found: dict[str, tuple[list[Conversation], Mapping[str, int]]] = {}
    for directory in directories:
        for trajectory in _trajectories(directory, set_aside):
            found.setdefault(trajectory.task.env, ([], {}))[0].append(messages(trajectory))
    return found


def _read_general(
    sources: Iterable[GeneralSource], set_aside: list[str]
) -> dict[str, tuple[list[Conversation], Mapping[str, int]]]:
    """Conversations by source name; a directory is a run of trajectories, a file holds messages."""
    found: dict[str, tuple[list[Conversation], Mapping[str, int]]] = {}
    for source in sources:
        if source.path.is_dir():
            found[source.name] = ([messages(each) for each in _trajectories(source.path, set_aside)], {})
        else:
            corpus = read_conversations(source.path)
            found[source.name] = (list(corpus.conversations), corpus.rejected)
    return found


def _trajectories(directory: Path, set_aside: list[str]) -> list[Trajectory]:
    """Trajectories of a finished run.

    Raises:
        UsageError: It is no finished run.
        DataError: None of its files can be read.
    """
    manifest.read(directory)
    contents = read_run(directory)
    lost = [f"{directory}/{name}" for name in contents.set_aside]
    if lost and not contents.trajectories:
        raise DataError(
            f"{str(directory)!r} holds no trajectory that can be read",
            "; ".join(lost),
            "run the stage that wrote it again, into another directory",
        )
    set_aside += lost
    return contents.trajectories


def _check_names(general: Sequence[GeneralSource]) -> None:
    twice = [name for name, count in Counter(source.name for source in general).items() if count > 1]
    if twice:
        raise UsageError(
            f"two general sources are called {twice[0]!r}",
            "loss and realised ratio are reported by name",
            f"name each: {_named(general)}",
        )


def _check_sides(agent: Iterable[str], general: Sequence[GeneralSource]) -> None:
    both = sorted(set(agent) & {source.name for source in general})
    if both:
        raise DataError(
            f"source {both[0]!r} is in the agent and in the general corpus",
            "the name decides on which side of η it counts",
            f"rename the general source: {_named(general)}",
        )


def _named(sources: Sequence[GeneralSource]) -> str:
    """The option that gives every source a name of its own."""
    tables = (
        f'{{path={json.dumps(str(source.path))}, name="{source.name}-{number}", weight={source.weight}}}'
        for number, source in enumerate(sources, 1)
    )
    return f"--set 'mix.general=[{', '.join(tables)}]'"


def _tokenize(
    conversations: Sequence[Conversation], tokenizer: Any, max_length: int
) -> tuple[list[Sample], Counter[str]]:
    """Samples of one source, their common instruction marked, and how many were left out, by reason."""
    rejected: Counter[str] = Counter()
    found = []
    for conversation in conversations:
        sample, reason = samples.build(conversation, tokenizer, max_length=max_length)
        if sample is None:
            rejected[str(reason)] += 1
        else:
            found.append(sample)
    shared = shared_prefix_length(found)
    return [replace(sample, prefix_length=shared) for sample in found], rejected


def _hold_out(rows: list[Sample], fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Training and validation rows; at least one of each when both are wanted and possible."""
    count = round(len(rows) * fraction)
    if fraction > 0 and len(rows) > 1:
        count = min(max(count, 1), len(rows) - 1)
    chosen = set(np.random.default_rng([seed, 2]).permutation(len(rows))[:count].tolist())
    return (
        [row for index, row in enumerate(rows) if index not in chosen],
        [row for index, row in enumerate(rows) if index in chosen],
    )


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
    }
    manifest.write_json(directory / _MIXTURE, document)
