"""Text to compare, from wherever it lies: files of records, trajectories, an environment's tasks.

A source is cut into parts that are read apart from each other, so that a corpus larger than memory streams.
As training text a record is all it says; as a test example it is the task alone, without the instruction that
all tasks share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from agentray.data.reading import RunReader, run_files
from agentray.data.records import to_row
from agentray.data.shards import shards
from agentray.env import build
from agentray.errors import DataError
from agentray.formats.conversations import conversation_of
from agentray.formats.files import byte_lines, has_lines, lines, records
from agentray.types import Conversation, EnvSpec, Message, Rejection, Split

Side = Literal["train", "test"]
Part = tuple[int, int]
"""From where to before where; what is counted is the source's own affair."""

_PART_BYTES = 16 * 2**20
_PART_TASKS = 1000
_ALL = 1 << 62
_ROWS = 64
"""Trajectories read at once."""
_COLUMNS = ["key", "env", "task_id", "fingerprint", "status", "prompt"]
_COLUMNS += [f"turns.list.element.{name}" for name in ("text", "observation")]
"""What is read of a shard: token ids and log-probabilities, the bulk of it, are not."""
_IDS = ("id", "task_id", "question_id")
"""Fields that name a record."""


@dataclass(frozen=True, slots=True)
class TaskName:
    """An environment's task."""

    env: str
    id: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Document:
    """One record's text."""

    text: str
    number: int
    """Which record of its part this is, from 0."""
    id: str | None = None
    """Its own name; None where it has none."""
    task: TaskName | None = None
    """The task it is about, where it comes from an environment."""
    left_out: str | None = None
    """Why it is excluded; None if it has text."""


class Source(Protocol):
    """Where documents come from; sent to workers."""

    @property
    def name(self) -> str:
        """How it is reported."""

    def parts(self) -> list[Part]:
        """The parts, in order."""

    def documents(self, part: Part, side: Side) -> Iterator[Document]:
        """The records of a part, in order, also those excluded."""


@dataclass(frozen=True)
class FileSource:
    """Records of a JSON file, or the lines of a `.txt` file."""

    name: str
    path: Path
    fields: tuple[str, ...] = ()
    """Fields whose text is compared; none where the records are conversations or lines."""

    def parts(self) -> list[Part]:
        """Byte ranges; a record belongs to the range its line begins in. A file that is not lines is one."""
        size = self.path.stat().st_size
        whole = size <= _PART_BYTES or not (self.path.suffix == ".txt" or has_lines(self.path))
        step = max(size, 1) if whole else _PART_BYTES
        return [(start, min(start + step, size)) for start in range(0, size, step)]

    def documents(self, part: Part, side: Side) -> Iterator[Document]:
        """The records of a byte range.

        Raises:
            DataError: A line is not JSON, or not UTF-8.
        """
        if self.path.suffix == ".txt":
            yield from self._lines(part)
            return
        whole = part == (0, self.path.stat().st_size)
        found = records(self.path) if whole else lines(self.path, *part)
        for number, (_, record) in enumerate(found):
            yield self._document(record, number, side)

    def _lines(self, part: Part) -> Iterator[Document]:
        for number, (offset, line) in enumerate(byte_lines(self.path, *part)):
            try:
                text = line.decode("utf-8-sig").strip()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"cannot read {str(self.path)!r}",
                    f"{error} in the line at byte {offset}, which begins {line[:60]!r}",
                    "correct that line",
                ) from error
            yield Document(text, number, left_out=None if text else "empty")

    def _document(self, record: Any, number: int, side: Side) -> Document:
        if isinstance(record, Rejection):
            return Document("", number, left_out=record.reason)
        known = record if type(record) is dict else {}
        name = next((str(known[key]) for key in _IDS if known.get(key) is not None), None)
        if self.fields:
            text = fields_text(record, self.fields)
            return Document(text or "", number, name, left_out=None if text else "no_text_in_the_fields")
        said = conversation_of(record)
        if isinstance(said, Rejection):
            return Document("", number, name, left_out=said.reason)
        text = _task_text(said.messages) if side == "test" else whole_text(said)
        return Document(text, number, name)


@dataclass(frozen=True)
class RunSource:
    """Trajectories of a rollout or filter directory."""

    name: str
    path: Path

    def parts(self) -> list[Part]:
        """One per shard; a run that is still being written is one part."""
        finished, journal = run_files(self.path)
        return [(0, _ALL)] if journal else [(number, number + 1) for number in range(len(finished))]

    def documents(self, part: Part, side: Side) -> Iterator[Document]:
        """The trajectories of a shard: all that was said, or the first observation.

        Shards that the run has set aside as unreadable are excluded, one document each, with the first part.

        Raises:
            DataError: The shard cannot be read.
        """
        lost = sorted(self.path.glob("*.corrupt")) if part[0] == 0 else []
        for number, shard in enumerate(lost):
            yield Document("", number, shard.name, left_out="unreadable_shard")
        for number, row in enumerate(self._rows(part), len(lost)):
            said = [each["content"] for each in row["prompt"]]
            task = TaskName(row["env"], row["task_id"], row["fingerprint"])
            if side == "test":
                yield Document(said[-1] if said else "", number, row["key"], task)
            elif row["status"] == "failed":
                yield Document("", number, row["key"], task, left_out="failed")
            else:
                said += [text for turn in row["turns"] for text in (turn["text"], turn["observation"])]
                # As in training, an observation that no reply followed is excluded.
                yield Document("\n".join(said[:-1] if row["turns"] else said), number, row["key"], task)

    def _rows(self, part: Part) -> Iterator[dict[str, Any]]:
        if part == (0, _ALL):
            yield from map(to_row, RunReader(self.path))
            return
        for shard in shards(self.path)[slice(*part)]:
            try:
                with pq.ParquetFile(shard) as file:
                    for batch in file.iter_batches(batch_size=_ROWS, columns=_COLUMNS):
                        yield from batch.to_pylist()
            except (pa.ArrowException, OSError) as error:
                raise DataError(
                    f"cannot read {str(shard)!r}", str(error), "remove it, or make the run again"
                ) from error


@dataclass(frozen=True)
class EnvironmentSource:
    """The first tasks of an environment's split, as their first observation words them."""

    name: str
    spec: EnvSpec
    split: Split
    num_tasks: int

    def parts(self) -> list[Part]:
        """Ranges of task numbers."""
        return [
            (start, min(start + _PART_TASKS, self.num_tasks))
            for start in range(0, self.num_tasks, _PART_TASKS)
        ]

    def documents(self, part: Part, side: Side) -> Iterator[Document]:
        """The tasks of a range, each reset with its number as the seed, as an evaluation with seed 0 does."""
        environment = build(self.spec)
        start, stop = part
        tasks = islice(environment.tasks(self.split, start), stop - start)
        for number, task in enumerate(tasks):
            game = environment.make()
            try:
                observation, _ = game.reset(seed=start + number, options={"task": task})
            finally:
                game.close()
            yield Document(observation, number, task.id, TaskName(task.env, task.id, task.fingerprint))


def first_record(path: Path) -> Any:
    """The first record of a JSON file that can be read; None if there is no record.

    Raises:
        DataError: It is not JSON.
    """
    return next((record for _, record in records(path) if not isinstance(record, Rejection)), None)


def fields_text(record: Any, fields: tuple[str, ...]) -> str | None:
    """The text of some fields, in lines; None when one is absent or not text."""
    found = [_text(record.get(field)) if type(record) is dict else None for field in fields]
    return None if None in found else "\n".join(text for text in found if text)


def _text(value: Any) -> str | None:
    """Text, a number or a list of these as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        inner = [_text(each) for each in value]
        return None if None in inner else "\n".join(text for text in inner if text)
    return str(value) if isinstance(value, int | float) else None


def whole_text(said: Conversation) -> str:
    """All that a conversation says: what is thought, called and offered too."""
    tools = [json.dumps(each, ensure_ascii=False) for each in said.tools]
    return "\n".join([*tools, *(text for each in said.messages for text in _texts(each))])


def _texts(message: Message) -> Iterator[str]:
    if message.reasoning:
        yield message.reasoning
    if message.content or not message.tool_calls:
        yield message.content
    yield from (json.dumps(each["function"], ensure_ascii=False) for each in message.tool_calls)


def _task_text(said: tuple[Message, ...]) -> str:
    """What is said right before the first reply with loss: in AgentInstruct's records, the task."""
    first = next(index for index, each in enumerate(said) if each.loss)
    return said[first - 1].content if first else ""
