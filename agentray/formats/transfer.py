"""Trajectories into files of other tools, and out of them.

agentray export --run runs/filter --format atif --out trajectories.jsonl
agentray import --format agentinstruct --file agentinstruct.jsonl --out runs/agentinstruct --reward 1
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa

from agentray import manifest
from agentray.config.transfer import ExportConfig, ImportConfig
from agentray.data.reading import RunReader
from agentray.data.records import table, to_row
from agentray.data.shards import ShardWriter
from agentray.errors import AgentrayError, DataError, UsageError
from agentray.formats.facts import FACTS
from agentray.formats.registry import get
from agentray.stage import Stage
from agentray.types import Progress, Rejection, Trajectory, silent

_BATCH = 256
"""Trajectories made into rows at once."""


@dataclass(frozen=True)
class ExportSummary:
    """What was written: `read == written + sum(refused.values())`."""

    out: str
    read: int
    written: int
    refused: Mapping[str, int]
    """Trajectories that the format cannot hold, by reason."""
    examples: Mapping[str, str]
    """The first trajectory of each reason, and what exactly is wrong."""
    lost: Mapping[str, int]
    """What the format does not keep, and how many of the written trajectories had it."""
    set_aside: list[str]
    """Files of the run that could not be read."""
    wall_s: float


@dataclass(frozen=True)
class ImportSummary:
    """What was read: `read == kept + sum(rejected.values())`."""

    out: str
    read: int
    kept: int
    rejected: Mapping[str, int]
    """Records that cannot be used, by reason; `rejected.jsonl` has each."""
    kept_by_env: Mapping[str, int]
    unknown_reward: int
    """Trajectories without a reward; a filter by reward keeps none of them."""


class _Counted:
    """Trajectories on their way into a file, counted; called with those that the format cannot hold."""

    def __init__(self, keeps: Collection[str], run: RunReader, progress: Progress) -> None:
        self._keeps, self._run, self._progress = keeps, run, progress
        self.refused, self.lost = Counter[str](), Counter[str]()
        self.examples: dict[str, str] = {}

    def __call__(self, each: Rejection) -> None:
        self.refused[each.reason] += 1
        self.examples.setdefault(each.reason, f"{each.place}: {each.detail}")

    def __iter__(self) -> Iterator[Trajectory]:
        for done, each in enumerate(self._run, 1):
            before = self.refused.total()
            yield each
            if self.refused.total() == before:
                self.lost.update(name for name, has in FACTS.items() if name not in self._keeps and has(each))
            self._progress(done, len(self._run), refused=self.refused.total())


def export(config: ExportConfig, progress: Progress = silent) -> ExportSummary:
    """Write the trajectories of a finished directory into a file, which appears when it is complete.

    Raises:
        UsageError: There is no such format or directory, the directory is not complete, the format is only
            read, or the file exists.
        DataError: The format can hold none of the trajectories.
    """
    started_s = time.monotonic()
    form = get(config.format)
    manifest.read(config.run)
    if config.out.exists():
        raise UsageError(f"{str(config.out)!r} exists", "it would be overwritten", "give another --out")
    run = RunReader(config.run)
    counted = _Counted(form.keeps, run, progress)
    manifest.make_directory(config.out.parent)
    partial = config.out.with_name(f".{config.out.name}.{os.getpid()}")
    try:
        written = form.write(counted, partial, counted)
        if not written:
            why = next(iter(counted.examples.values()), "the run is empty")
            raise DataError(
                f"no trajectory of {str(config.run)!r} fits into the format {config.format!r}",
                f"refused: {dict(counted.refused)}; {why}",
                "give another --format, or another --run",
            )
        os.replace(partial, config.out)
    finally:
        partial.unlink(missing_ok=True)
    return ExportSummary(
        out=str(config.out),
        read=written + counted.refused.total(),
        written=written,
        refused=dict(counted.refused),
        examples=counted.examples,
        lost=dict(counted.lost),
        set_aside=run.set_aside,
        wall_s=time.monotonic() - started_s,
    )


def import_(config: ImportConfig, progress: Progress = silent) -> ImportSummary:
    """Make a file's records into trajectories: shards, `rejected.jsonl` and the manifest.

    Raises:
        UsageError: There is no such format or file, or `out` overlaps the file or holds something else.
        DataError: The file cannot be read, or no record can be used; nothing is left in `out` then.
    """
    stage = Stage("import", config, config.out, ImportSummary, inputs=[config.file])
    found = get(config.format).read(config.file)
    first = list(islice(found, 1))  # what is wrong with the file is said before anything is deleted
    stage.begin()
    try:
        summary = _import(chain(first, found), config, progress)
    except AgentrayError:
        shutil.rmtree(config.out)
        raise
    return stage.complete(summary)


def _import(
    found: Iterable[Trajectory | Rejection], config: ImportConfig, progress: Progress
) -> ImportSummary:
    rejected, envs, unknown, example = Counter[str](), Counter[str](), 0, ""
    with (config.out / "rejected.jsonl").open("w", encoding="utf-8") as stream:
        for each in _stored(_settled(found, config), config.out):
            if isinstance(each, Rejection):
                rejected[each.reason] += 1
                example = example or f"{each.place}: {each.detail}"
                stream.write(json.dumps(asdict(each)) + "\n")
            else:
                envs[each.task.env] += 1
                unknown += each.reward is None
            progress(envs.total() + rejected.total(), 0, rejected=rejected.total())
    kept, read = envs.total(), envs.total() + rejected.total()
    progress(read, read, rejected=rejected.total())
    if not kept:
        raise DataError(
            f"{str(config.file)!r} holds no record that can be used",
            f"{read} records read, rejected: {dict(rejected)}; {example}",
            "give another --format, or correct the records; docs/data.md has every reason",
        )
    return ImportSummary(str(config.out), read, kept, dict(rejected), dict(envs), unknown)


def _settled(
    found: Iterable[Trajectory | Rejection], config: ImportConfig
) -> Iterator[Trajectory | Rejection]:
    """What was read, with the settings' environment and reward; records of one task are its samples."""
    seen: set[str] = set()
    latest: Counter[str] = Counter()
    for each in found:
        if isinstance(each, Rejection):
            yield each
            continue
        if config.environment is not None:
            each = replace(each, task=replace(each.task, env=config.environment))
        if config.reward is not None and each.reward is None and each.turns:
            last = replace(each.turns[-1], reward=config.reward)
            each = replace(each, reward=config.reward, turns=(*each.turns[:-1], last))
        key = each.key
        while each.key in seen:
            latest[key] = max(latest[key], each.sample) + 1
            each = replace(each, sample=latest[key])
        seen.add(each.key)
        yield each


def _stored(found: Iterable[Trajectory | Rejection], out: Path) -> Iterator[Trajectory | Rejection]:
    """All that was found, with the trajectories written as shards; what no shard can hold is rejected."""
    waiting = iter(found)
    with ShardWriter(out) as writer:
        while batch := list(islice(waiting, _BATCH)):
            try:
                writer.add(_table(batch))
            except DataError:
                batch = list(map(_storable, batch))
                writer.add(_table(batch))
            yield from batch


def _table(batch: Iterable[Trajectory | Rejection]) -> pa.Table:
    return table([to_row(each) for each in batch if isinstance(each, Trajectory)])


def _storable(found: Trajectory | Rejection) -> Trajectory | Rejection:
    """What was found, or why no shard can hold it."""
    try:
        _table([found])
    except DataError as error:
        return Rejection(found.key if isinstance(found, Trajectory) else found.place, "unstorable", error.why)
    return found
