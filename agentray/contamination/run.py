"""The contamination report: how much of test sets the training text has too, on Ray Data.

    agentray contamination --train runs/filter --train chats.jsonl --test env:database/test --test gsm8k.jsonl

The test side is indexed here. Every part of a training source is read, cut into tokens and matched by one Ray
task, and only what was found comes back. `agentray.contamination.spans` says what counts as a match.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any

from agentray import manifest
from agentray.cluster import connected
from agentray.config import ContaminationConfig
from agentray.contamination.overlap import Match, Overlap, overlap
from agentray.contamination.parse import check_names, parse_source
from agentray.contamination.search import (
    Examples,
    ExampleSet,
    Found,
    Hit,
    Search,
    check_text,
    outermost,
    read_examples,
)
from agentray.contamination.sources import FileSource, RunSource, Source, TaskName
from agentray.contamination.spans import build_index
from agentray.contamination.tokens import SubwordTokenizer, Tokenizer, WordTokenizer
from agentray.errors import AgentrayError, DataError
from agentray.stage import Stage
from agentray.types import Progress, silent

TOGETHER = "all of these"
"""What several training sources are called together; no single one is, as a name has no spaces."""

_MAX_HITS = 100_000
"""Spans gathered before those inside others are dropped: what bounds the memory of this process."""


@dataclass(frozen=True)
class TrainingText:
    """What was read of a training source: `read == documents + sum(left_out.values())`."""

    read: int
    documents: int
    left_out: Mapping[str, int]
    tokens: int
    text_bytes: int
    """In UTF-8."""


@dataclass(frozen=True)
class SameTask:
    """A task that is trained on and tested on."""

    env: str
    fingerprint: str
    train: str
    train_task: str
    test: str
    test_task: str


@dataclass(frozen=True)
class ContaminationSummary:
    """What test sets share with training text."""

    out: str | None
    tokenizer: str
    length: int
    budget: int
    training: Mapping[str, TrainingText]
    test_left_out: Mapping[str, Mapping[str, int]]
    """Records that are not examples, by test set and reason."""
    overlaps: Sequence[Overlap]
    """For each test set one for each training source, and one, without spans, for several together."""
    same_tasks: Sequence[SameTask]
    wall_s: float


@dataclass(frozen=True)
class _Counts:
    """What the manifest tells."""

    contamination_rate: Mapping[str, float | None]
    """By training text and test set."""
    same_tasks: int


def run(config: ContaminationConfig, progress: Progress = silent) -> ContaminationSummary:
    """Match every training source against every test set.

    Raises:
        UsageError: A source, field or environment does not exist, two have one name, or `out` overlaps what
            is read or holds something else.
        DataError: A source holds no text, or a record cannot be read.
    """
    train = [parse_source(each, config.num_tasks, config.env) for each in config.train]
    test = [parse_source(each, config.num_tasks, config.env) for each in config.test]
    check_names(train, "train")
    check_names(test, "test")
    started_s = time.monotonic()
    paths = [each.path for each in (*train, *test) if isinstance(each, FileSource | RunSource)]
    stage = Stage("contamination", config, config.out, _Counts, inputs=paths) if config.out else None
    tokenizer = SubwordTokenizer(config.tokenizer) if config.tokenizer else WordTokenizer()
    examples = read_examples(test, tokenizer)
    found = _search(train, examples, tokenizer, config, progress)
    summary = ContaminationSummary(
        out=str(config.out) if config.out else None,
        tokenizer=config.tokenizer or "words",
        length=config.length,
        budget=config.budget,
        training={name: _training(name, parts) for name, parts in found.items()},
        test_left_out={each.name: each.left_out for each in examples.sets},
        overlaps=_overlaps(found, examples, tokenizer, config),
        same_tasks=_same_tasks(found, examples),
        wall_s=time.monotonic() - started_s,
    )
    if stage:
        stage.begin()
        manifest.write_json(stage.out / "contamination.json", asdict(summary))
        rates = {f"{each.train} → {each.test}": each.contamination_rate for each in summary.overlaps}
        stage.complete(_Counts(rates, len(summary.same_tasks)))
    return summary


def _search(
    train: Sequence[Source],
    examples: Examples,
    tokenizer: Tokenizer,
    config: ContaminationConfig,
    progress: Progress,
) -> dict[str, list[Found]]:
    """What every part of every training source holds, in order."""
    index = build_index(examples.tokens, config.length, config.budget)
    tasks = frozenset((task.env, task.fingerprint) for each in examples.sets for task in each.tasks)
    parts = [(source, part) for source in train for part in source.parts()]
    found: dict[str, list[Found]] = {source.name: [] for source in train}
    if not parts:
        return found
    with connected():
        num_hits = 0
        for each in _stream(Search(index, tokenizer, parts, tasks), progress):
            found[parts[each.part][0].name].append(each)
            num_hits += len(each.hits)
            if num_hits > _MAX_HITS:
                found, num_hits = {name: _thinned(rows) for name, rows in found.items()}, 0
    return {name: _thinned(rows) for name, rows in found.items()}


def _thinned(parts: Sequence[Found]) -> list[Found]:
    """The parts in order, without spans that lie inside one of another part."""
    ordered = sorted(parts, key=lambda each: each.part)
    kept = set(outermost([(hit.start, hit.stop) for each in ordered for hit in each.hits]))
    rows = count()
    return [replace(each, hits=[hit for hit in each.hits if next(rows) in kept]) for each in ordered]


def _stream(search: Search, progress: Progress) -> Iterator[Found]:
    """The parts' results as they come, each part one task of Ray Data.

    Raises:
        DataError: A part cannot be read.
    """
    import ray
    import ray.data

    shared = ray.put(search)
    total = len(search.parts)
    numbers = ray.data.range(total, override_num_blocks=total)
    results = numbers.map_batches(_search_parts, batch_size=None, fn_kwargs={"shared": shared})
    with _quiet():
        for done, row in enumerate(results.iter_rows(), 1):
            progress(done, total)
            yield _from_json(row["found"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray Data from printing its plan and its progress: stdout is for results."""
    import ray.data

    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    bars, level = context.enable_progress_bars, log.level
    context.enable_progress_bars = False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = bars
        log.setLevel(level)


def _search_parts(batch: Mapping[str, Any], shared: Any) -> dict[str, list[str]]:
    import ray

    search: Search = ray.get(shared)
    return {"found": [_to_json(search, int(number)) for number in batch["id"]]}


def _to_json(search: Search, number: int) -> str:
    """What a part holds, or why it cannot be read: an error raised here Ray Data would print at length."""
    try:
        return json.dumps(asdict(search(number)))
    except AgentrayError as error:
        return json.dumps({"error": [error.what, error.why, error.fix]})


def _from_json(text: str) -> Found:
    row = json.loads(text)
    if "error" in row:
        raise DataError(*row["error"])
    row["hits"] = [Hit(**each) for each in row["hits"]]
    row["tasks"] = [TaskName(**each) for each in row["tasks"]]
    return Found(**row)


def _training(name: str, parts: Sequence[Found]) -> TrainingText:
    left_out = sum((Counter(each.left_out) for each in parts), Counter[str]())
    counts = TrainingText(
        read=sum(each.num_records for each in parts),
        documents=sum(each.num_documents for each in parts),
        left_out=dict(left_out),
        tokens=sum(each.num_tokens for each in parts),
        text_bytes=sum(each.num_bytes for each in parts),
    )
    check_text(name, counts.documents, left_out)
    return counts


def _overlaps(
    found: Mapping[str, Sequence[Found]],
    examples: Examples,
    tokenizer: Tokenizer,
    config: ContaminationConfig,
) -> list[Overlap]:
    matches = {name: _matches(name, parts, examples, tokenizer) for name, parts in found.items()}
    if len(matches) > 1:
        together = [match for each in matches.values() for match in each]
        rows = outermost([(each.start, each.stop) for each in together])
        matches[TOGETHER] = [together[row] for row in rows]
    return [
        overlap(
            name,
            each,
            _within(rows, each),
            length=config.length,
            num_passages=0 if name == TOGETHER else config.num_spans,
        )
        for each in examples.sets
        for name, rows in matches.items()
    ]


def _matches(name: str, parts: Sequence[Found], examples: Examples, tokenizer: Tokenizer) -> list[Match]:
    """The spans of a training source; a record without a name goes by its number."""
    matches, before = [], 1
    for part in parts:
        for hit in part.hits:
            mine = tokenizer.passage(examples.tokens, hit.start, hit.stop)
            example = hit.example or f"#{before + hit.number}"
            matches.append(Match(hit.start, hit.stop, mine, name, example, hit.text))
        before += part.num_records
    return matches


def _within(matches: Sequence[Match], test: ExampleSet) -> list[Match]:
    low, high = test.bounds[0], test.bounds[-1]
    return [each for each in matches if low <= each.start < high]


def _same_tasks(found: Mapping[str, Sequence[Found]], examples: Examples) -> list[SameTask]:
    trained: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    for name, parts in found.items():
        for task in (task for part in parts for task in part.tasks):
            trained.setdefault((task.env, task.fingerprint), {})[name, task.id] = None
    return [
        SameTask(task.env, task.fingerprint, name, trained_task, each.name, task.id)
        for each in examples.sets
        for task in each.tasks
        for name, trained_task in trained.get((task.env, task.fingerprint), {})
    ]
