"""Conversations of files in whatever form their records have; a file may mix forms.

Nothing in a record is ignored in silence: what is known is honoured or costs the record, with a reason, and
the names of all other fields are counted. `docs/data.md` says how each field is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentray.errors import DataError
from agentray.formats.base import Format, as_object
from agentray.formats.files import is_message, records
from agentray.formats.messages import LISTS
from agentray.formats.reasons import Unusable, short
from agentray.formats.registry import form_of
from agentray.types import Conversation, Rejection


@dataclass(frozen=True)
class Records:
    """What the records of one file became."""

    conversations: list[Conversation]
    rejected: list[Rejection] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    """Fields that are not read, by name; those of messages are called `messages[].NAME`."""

    @property
    def read(self) -> int:
        """Records of the file."""
        return len(self.conversations) + len(self.rejected)


def read_conversations(path: Path) -> Records:
    """Conversations of a file, in the order of its records.

    Raises:
        UsageError: The file does not exist, or is a directory.
        DataError: It is not JSON, or no record is a conversation.
    """
    found = Records([], [], Counter())
    for read, unknown in iterate_conversations(path):
        if isinstance(read, Rejection):
            found.rejected.append(read)
        else:
            found.conversations.append(read)
        found.unknown.update(unknown)
    return found


def iterate_conversations(path: Path) -> Iterator[tuple[Conversation | Rejection, Sequence[str]]]:
    """What each record of a file became, and its fields that are not read, one record after the other.

    Raises:
        UsageError: The file does not exist, or is a directory.
        DataError: It is not JSON, or, at its end, no record was a conversation.
    """
    reasons: Counter[str] = Counter()
    usable, first = 0, ""
    for place, record in records(path):
        read = record if isinstance(record, Rejection) else conversation_of(record, place)
        if isinstance(read, Rejection):
            reasons[read.reason] += 1
            first = first or f"; {read.place}: {read.detail}"
        else:
            usable += 1
        yield read, () if isinstance(record, Rejection) else tuple(fields_not_read(record))
    if not usable:
        raise DataError(
            f"{str(path)!r} holds no conversation",
            f"{reasons.total()} records read, rejected: {dict(reasons)}{first}",
            'give records with "messages" or "conversations"; docs/data.md has every form',
        )


def conversation_of(record: Any, place: str = "") -> Conversation | Rejection:
    """The conversation of one record, or why it cannot be used."""
    try:
        record = as_object(record)
        form = form_of(record)
        if form is None:
            raise Unusable("no_messages", f"its fields are {short(sorted(record))}")
        return form.conversation(record, place)
    except Unusable as wrong:
        return Rejection(place, wrong.reason, wrong.detail)


def is_conversation(record: Any) -> bool:
    """Whether a record has the form of a conversation, usable or not."""
    if isinstance(record, list):
        return any(map(is_message, record))
    return isinstance(record, dict) and (bool(record.keys() & {*LISTS}) or form_of(record) is not None)


def fields_not_read(record: Any) -> Iterator[str]:
    """Names of a record's fields that hold something and that `conversation_of` does not read."""
    record = as_object(record)
    yield from (form_of(record) or Format()).unread(record)
