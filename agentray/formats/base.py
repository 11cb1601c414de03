"""What a format is: how its records are recognised, read and written.

A format whose files hold JSON records says what its records look like, and inherits the rest:

    class Pairs(Format):
        fields = frozenset({"question", "answer"})

        def turns(self, record):
            return [
                {"role": "user", "content": record["question"]},
                {"role": "assistant", "content": record["answer"]},
            ]

Any other overrides `read` and `write`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from agentray.data.records import messages
from agentray.encoding import encode
from agentray.errors import UsageError
from agentray.formats import marks
from agentray.formats.calls import tools_of
from agentray.formats.files import records
from agentray.formats.imported import to_trajectory
from agentray.formats.reasons import Unusable, short
from agentray.formats.turns import holds, message_of, unknown_fields
from agentray.types import Conversation, Message, Rejection, Trajectory

Record = Mapping[str, Any]
Refuse = Callable[[Rejection], None]
"""Takes what cannot be written, and why."""

_SYSTEMS = ("system", "system_prompt")
_MEDIA = ("image", "images", "video", "videos", "audio", "audios")
IDS = ("id", "idx", "index", "item_id", "prompt_id", "conversation_id", "uuid")
"""Fields that name a record."""
_COMMON = frozenset({*_SYSTEMS, *_MEDIA, *IDS, *marks.LISTS, "environment", "tools", "functions"})


class Format:
    """A form of records; the entry-point group `agentray.formats` names its subclasses."""

    fields: ClassVar[frozenset[str]] = frozenset()
    """Fields of a record that only this form has."""
    keeps: ClassVar[frozenset[str]] = frozenset()
    """What it keeps of a trajectory besides what was said: names of `agentray.formats.transfer.FACTS`."""

    def fits(self, record: Record) -> bool:
        """Whether a record has this form; by default, whether it has all of `fields`."""
        return bool(self.fields) and self.fields <= record.keys()

    def turns(self, record: Record) -> Sequence[Any]:
        """The messages of a record, each as OpenAI or ShareGPT writes one.

        Raises:
            Unusable: Something in the record cannot be honoured.
        """
        raise NotImplementedError

    def untrained(self, record: Record) -> int:
        """How many of the first turns carry no loss unless they are marked."""
        return 0

    def conversation(self, record: Record, place: str) -> Conversation:
        """The conversation of a record.

        Replies carry loss unless the record says otherwise. What follows the last reply is dropped.

        Raises:
            Unusable: Something in the record cannot be honoured.
        """
        for name in _MEDIA:
            if holds(record.get(name)):
                raise Unusable("image_part", f"{name} is {short(record[name])}")
        if record.get("label") is False:
            raise Unusable("preference", "label is false: the reply is one to avoid")
        turns, untrained = self.turns(record), self.untrained(record)
        said = [
            _numbered(number, turn, number > untrained, more)
            for number, (turn, more) in enumerate(
                zip(turns, marks.of_record(record, len(turns)), strict=True), 1
            )
        ]
        return conversation(said, place, system=_system(record), tools=tools_of(record))

    def task(self, record: Record, place: str) -> tuple[str, str]:
        """The environment and the id of a record's task: its own, else `imported` and its place."""
        found = next((record[name] for name in IDS if holds(record.get(name))), place)
        env = record.get("environment")
        return env if isinstance(env, str) and env else "imported", str(found)

    def trajectory(self, record: Record, place: str) -> Trajectory:
        """The trajectory of a record; what the record does not say is unknown.

        Raises:
            Unusable: Something in the record cannot be honoured, or a trajectory has no place for it.
        """
        return to_trajectory(self.conversation(record, place), *self.task(record, place))

    def record(self, trajectory: Trajectory) -> Record:
        """The record of a trajectory.

        Raises:
            Unusable: The form has no place for something that was said.
        """
        raise UsageError(
            f"the format {type(self).__name__.lower()!r} cannot be written",
            "it is only read",
            "give another --format",
        )

    def unread(self, record: Record) -> Iterator[str]:
        """Names of the record's fields that hold something and are not read."""
        known = _COMMON | self.fields
        yield from (name for name, value in record.items() if name not in known and holds(value))
        for name in self.fields:
            value = record.get(name)
            if isinstance(value, list):
                for turn in value:
                    yield from unknown_fields(turn)

    def read(self, path: Path) -> Iterator[Trajectory | Rejection]:
        """The trajectories of a file, in order, and what of it cannot be used.

        Raises:
            UsageError: The file does not exist, or is a directory.
            DataError: It cannot be decompressed or decoded, or a line is not JSON.
        """
        for place, record in records(path):
            if isinstance(record, Rejection):
                yield record
                continue
            try:
                record = as_object(record)
                if not self.fits(record):
                    raise Unusable("no_messages", f"its fields are {short(sorted(record))}")
                yield self.trajectory(record, place)
            except Unusable as wrong:
                yield Rejection(place, wrong.reason, wrong.detail)

    def write(self, trajectories: Iterable[Trajectory], path: Path, refuse: Refuse) -> int:
        """Write trajectories, one JSON record a line; returns how many.

        Args:
            trajectories: What to write.
            path: File to write.
            refuse: Called with each that the format cannot hold.
        """
        written = 0
        with path.open("wb") as stream:
            for each in trajectories:
                try:
                    stream.write(encode(self.record(each)) + b"\n")
                except Unusable as wrong:
                    refuse(Rejection(each.key, wrong.reason, wrong.detail))
                else:
                    written += 1
        return written


def as_object(record: Any) -> Record:
    """The record; one that is not an object is taken for its messages."""
    return record if isinstance(record, dict) else {"messages": record}


def conversation(
    said: list[Message], place: str, *, system: str | None = None, tools: tuple[Record, ...] = ()
) -> Conversation:
    """A conversation that ends with a reply.

    Args:
        said: Its messages; those after the last reply are dropped.
        place: Where it comes from.
        system: The record's own system prompt.
        tools: What may be called in it.

    Raises:
        Unusable: No reply carries loss, or two system prompts differ.
    """
    last = max((number for number, each in enumerate(said, 1) if each.role == "assistant"), default=0)
    said = said[:last]
    if not any(each.loss for each in said):
        raise Unusable("no_reply", "no message of the assistant that says something carries loss")
    if system and said[0].role == "system":
        if said[0].content != system:
            raise Unusable("two_system_prompts", "the record's differs from that of its messages")
    elif system:
        said = [Message("system", system), *said]
    return Conversation(tuple(said), tools, place)


def said_in(trajectory: Trajectory) -> tuple[Message, ...]:
    """What was said in a trajectory, as training sees it.

    Raises:
        Unusable: It failed, or holds no reply.
    """
    if trajectory.status == "failed":
        raise Unusable("failed", f"the attempt failed: {trajectory.error or 'no reason is stored'}")
    if not trajectory.turns:
        raise Unusable("no_reply", "the trajectory holds no reply")
    return messages(trajectory)


def _numbered(number: int, turn: Any, default: bool, more: Sequence[marks.Mark]) -> Message:
    try:
        return message_of(turn, default=default, more=more)
    except Unusable as wrong:
        raise Unusable(wrong.reason, f"message {number}: {wrong.detail}") from wrong


def _system(record: Record) -> str | None:
    found = {name: record[name] for name in _SYSTEMS if holds(record.get(name))}
    for name, value in found.items():
        if not isinstance(value, str):
            raise Unusable("bad_field", f"{name} is {short(value)}, not text")
    if len(set(found.values())) > 1:
        raise Unusable("two_system_prompts", f"{' and '.join(found)} differ")
    return next(iter(found.values()), None)
