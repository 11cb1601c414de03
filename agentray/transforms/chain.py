"""Runs a chain of transforms over runs of any size: ordered, counted, in bounded memory.

Trajectories come best reward first. Each passes one step after the other; an async step has several at once,
and hands them on in the same order. What is kept becomes shards, what is not a line of `rejected.jsonl` with
its step and reason: `read == kept + rejected`, always.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import shutil
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

import pyarrow as pa

from agentray.data.ranking import COLUMNS, best_first
from agentray.data.reading import RunReader
from agentray.data.records import from_row, table, to_row
from agentray.data.shards import ShardWriter, shards
from agentray.errors import AgentrayError, DataError
from agentray.manifest import make_directory
from agentray.transforms.base import Rule, Transform
from agentray.transforms.context import Contexts
from agentray.transforms.outcomes import Outcomes
from agentray.types import Progress, Rejection, Trajectory, silent

REJECTED = "rejected.jsonl"
_SORTING, _STEPS = ".sorting", ".steps"
_PROGRESS_S = 0.2
_BUFFER_ROWS = 256

Step = tuple[str, Transform]
"""A transform and the name it was asked for by."""


@dataclass
class Counts:
    """What became of the trajectories: `read == kept + rejected_total`."""

    read: int = 0
    kept: int = 0
    rejected: dict[str, Counter[str]] = field(default_factory=dict)
    """By step and reason; a trajectory counts under the first step that rejects it."""
    kept_by_env: Counter[str] = field(default_factory=Counter)
    set_aside: list[str] = field(default_factory=list)
    """Files and attempts that could not be read."""

    @property
    def rejected_total(self) -> int:
        """Over all steps."""
        return sum(each.total() for each in self.rejected.values())


class _Item(NamedTuple):
    """A trajectory on its way."""

    run: int
    trajectory: Trajectory
    rows: pa.Table
    place: int
    """Its row in `rows`: what was read is stored as it is, unless a step changed it."""


class Chain:
    """One run of a chain.

    Args:
        steps: Names and transforms, in order.
        runs: The run directories.
        out: An existing directory for what is kept and why the rest is not.
        contexts: Of the trajectories of `runs`.
        in_flight: Trajectories that are in one async step at once.
        outcomes: Record of what async steps returned; None keeps none.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        runs: Sequence[Path],
        out: Path,
        contexts: Contexts,
        in_flight: int = 1,
        outcomes: Outcomes | None = None,
    ) -> None:
        self._parts, self._runs, self._out = _parts(steps), runs, out
        self._contexts, self._in_flight, self._outcomes = contexts, in_flight, outcomes
        self._rejections: IO[str]
        self._counts = Counts()

    async def run(self, progress: Progress = silent, *, strict: bool = False) -> Counts:
        """Run it; what an earlier start wrote is written again.

        Args:
            progress: Where to report how many have passed.
            strict: Whether a file that cannot be read is an error, instead of a line in `set_aside`.

        Raises:
            UsageError: A run does not exist, or an environment is not installed.
            DataError: A transform fails on a trajectory, or a file cannot be read.
        """
        _remove(self._out)
        runs = [RunReader(run, COLUMNS) for run in self._runs]
        if strict:
            _check(runs)
        readers, counts = runs, self._counts
        try:
            with (self._out / REJECTED).open("w", encoding="utf-8", errors="backslashreplace") as stream:
                self._rejections = stream
                for number, steps in enumerate(self._parts[:-1]):
                    folders = [self._out / _STEPS / f"{number}-{run}" for run in range(len(runs))]
                    await self._pass(steps, readers, folders, progress)
                    readers = [RunReader(each, COLUMNS, may_be_empty=True) for each in folders]
                counts.kept_by_env = await self._pass(self._parts[-1], readers, [self._out], progress)
        finally:
            for name in (_SORTING, _STEPS):
                shutil.rmtree(self._out / name, ignore_errors=True)
        if strict:
            _check(runs)
        counts.kept = counts.kept_by_env.total()
        counts.set_aside = [f"{each.directory}/{why}" for each in runs for why in each.set_aside]
        return counts

    async def _pass(
        self, steps: Sequence[Step], readers: Sequence[RunReader], folders: Sequence[Path], progress: Progress
    ) -> Counter[str]:
        """Take trajectories through some steps, into one directory or one per run; how many came through."""
        total, before = sum(map(len, readers)), self._counts.rejected_total
        passed = self._source(readers, first=steps is self._parts[0])
        for name, step in steps:
            several = inspect.iscoroutinefunction(step.__call__)
            passed = (self._several if several else self._one_by_one)(passed, name, step)
        through: Counter[str] = Counter()
        shown_s = 0.0
        with ExitStack() as stack:
            sinks = [stack.enter_context(_Sink(each)) for each in folders]
            async with aclosing(passed):
                async for item in passed:
                    if sinks[item.run if len(sinks) > 1 else 0].take(item):
                        through[item.trajectory.task.env] += 1
                    else:
                        self._reject("write", item.trajectory, Rejection(item.trajectory.key, "same_key"))
                    if time.monotonic() - shown_s > _PROGRESS_S:
                        shown_s, kept = time.monotonic(), through.total()
                        progress(kept + self._counts.rejected_total - before, total, kept=kept)
        progress(total, total, kept=through.total())
        return through

    async def _source(self, readers: Sequence[RunReader], *, first: bool) -> AsyncGenerator[_Item, None]:
        """The trajectories of some runs, best reward first."""
        for batch in best_first(readers, self._out / _SORTING):
            for index, (run, row) in enumerate(zip(batch.runs, batch.table.to_pylist(), strict=True)):
                try:
                    trajectory = from_row(row)
                except DataError as error:
                    readers[run].set_aside.append(f"attempt {row['key']!r}: {error}")
                    continue
                self._counts.read += first
                yield _Item(run, trajectory, batch.table, index)

    async def _one_by_one(
        self, source: AsyncGenerator[_Item, None], name: str, step: Transform
    ) -> AsyncGenerator[_Item, None]:
        """What a step keeps."""
        async with aclosing(source):
            async for item in source:
                kept = self._kept(name, item, await self._ask(name, step, item))
                if kept is not None:
                    yield kept

    async def _several(
        self, source: AsyncGenerator[_Item, None], name: str, step: Transform
    ) -> AsyncGenerator[_Item, None]:
        """What an async step keeps; several trajectories are in it at once, and leave it in their order."""
        places = asyncio.Semaphore(self._in_flight)
        failing = False
        begun: deque[tuple[_Item, asyncio.Task[_Item | Rejection]]] = deque()

        async def one(item: _Item) -> _Item | Rejection:
            known = self._outcomes.get(name, item.run, item.trajectory) if self._outcomes else None
            if known is not None:
                return _made(name, item, known)
            async with places:
                if failing:
                    raise asyncio.CancelledError
                made = await self._ask(name, step, item)
            if self._outcomes:
                outcome = made if isinstance(made, Rejection) else made.trajectory
                self._outcomes.put(name, item.run, item.trajectory, outcome)
            return made

        try:
            async with aclosing(source):
                async for item in source:
                    begun.append((item, asyncio.create_task(one(item))))
                    while begun and (len(begun) >= 4 * self._in_flight or begun[0][1].done()):
                        item, task = begun.popleft()
                        if (kept := self._kept(name, item, await task)) is not None:
                            yield kept
            while begun:
                item, task = begun.popleft()
                if (kept := self._kept(name, item, await task)) is not None:
                    yield kept
        except Exception:  # what others are paid for meanwhile is remembered; no more begin
            failing = True
            await asyncio.gather(*(task for _, task in begun), return_exceptions=True)
            raise
        finally:
            for _, task in begun:
                task.cancel()
            await asyncio.gather(*(task for _, task in begun), return_exceptions=True)

    async def _ask(self, name: str, step: Transform, item: _Item) -> _Item | Rejection:
        """What a step returns.

        Raises:
            AgentrayError: It cannot go on.
            DataError: It failed, or returned something else than an outcome that can be stored.
        """
        trajectory = item.trajectory
        context = self._contexts.of(item.run, trajectory.task.env)
        try:
            outcome = step(trajectory, context)
            if inspect.isawaitable(outcome):
                outcome = await outcome
        except AgentrayError:
            raise
        except Exception as error:  # a plugin may raise anything
            raise _failed(name, trajectory, f"{type(error).__name__}: {error}") from error
        return _made(name, item, outcome)

    def _kept(self, name: str, item: _Item, made: _Item | Rejection) -> _Item | None:
        """The trajectory to go on with; None, and counted, where there is none."""
        if isinstance(made, Rejection):
            self._reject(name, item.trajectory, made)
            return None
        return made

    def _reject(self, name: str, trajectory: Trajectory, rejection: Rejection) -> None:
        self._counts.rejected.setdefault(name, Counter())[rejection.reason] += 1
        line = {
            "key": trajectory.key,
            "step": name,
            "reason": rejection.reason,
            "detail": rejection.detail,
        }
        self._rejections.write(json.dumps(line, ensure_ascii=False) + "\n")


class _Sink:
    """Writes trajectories to a directory, one per key: what reads it expects keys to be unique."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._writer = ShardWriter(directory)
        self._waiting: list[_Item] = []
        self._keys: set[bytes] = set()

    def take(self, item: _Item) -> bool:
        """Take a trajectory; False where another has its key."""
        key = hashlib.blake2b(item.trajectory.key.encode(errors="replace"), digest_size=16).digest()
        if key in self._keys:
            return False
        self._keys.add(key)
        self._waiting.append(item)
        if len(self._waiting) >= _BUFFER_ROWS:
            self._flush()
        return True

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for _, items in groupby(waiting, key=lambda each: id(each.rows)):
            found = list(items)
            self._writer.add(found[0].rows.take([each.place for each in found]))

    def __enter__(self) -> _Sink:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._writer.__exit__(kind, error, trace)


class Beside:
    """A directory beside the one to be written, whose files move there once they are all there."""

    def __init__(self, out: Path) -> None:
        self._out = out.resolve()
        self.directory = self._out.with_name(f".{self._out.name}.partial")

    def __enter__(self) -> Beside:
        self.__exit__()
        make_directory(self.directory)
        return self

    def __exit__(self, *ended: object) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def move(self) -> None:
        """Move the files to where they belong."""
        for path in self.directory.iterdir():
            shutil.move(path, self._out / path.name)


def _parts(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps, cut where what they kept must be ordered anew: steps before it may have changed rewards."""
    parts: list[list[Step]] = [[]]
    for name, step in steps:
        if step.best_first and not all(isinstance(each, Rule) for _, each in parts[-1]):
            parts.append([])
        parts[-1].append((name, step))
    return parts


def _made(name: str, item: _Item, outcome: object) -> _Item | Rejection:
    """What a step made of an item.

    Raises:
        DataError: It is not an outcome, or cannot be stored.
    """
    if outcome is item.trajectory:
        return item
    if isinstance(outcome, Rejection) and isinstance(outcome.reason, str) and outcome.reason:
        return outcome
    if not isinstance(outcome, Trajectory):
        why = f"it returned {outcome!r:.100}, not a trajectory or a rejection with a reason"
        raise _failed(name, item.trajectory, why)
    try:
        return _Item(item.run, outcome, table([to_row(outcome)]), 0)
    except DataError as error:
        why = f"what it returned cannot be stored: {error.why}"
        raise _failed(name, item.trajectory, why) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise _failed(name, item.trajectory, f"what it returned cannot be stored: {error!r}") from error


def _failed(name: str, trajectory: Trajectory, why: str) -> DataError:
    return DataError(
        f"transform {name!r} failed on {trajectory.key!r}",
        " ".join(why.split()),
        "correct the transform, then run the same command again",
    )


def _check(readers: Sequence[RunReader]) -> None:
    for reader in readers:
        reader.check_readable()


def _remove(out: Path) -> None:
    """Remove what an interrupted start wrote."""
    for path in [*shards(out), out / REJECTED]:
        path.unlink(missing_ok=True)
    for name in (_SORTING, _STEPS):
        shutil.rmtree(out / name, ignore_errors=True)
