"""What an agent can know from the conversation alone; the expert decides on this and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from agentray.types import Message

_THING = r"([a-z]+ \d+)"
_ROOM = re.compile(r"you are in the middle of a room\..* you see (.*?)\.", re.IGNORECASE)
_ARRIVE = re.compile(rf"You arrive at {_THING}\.")
_CLOSED = re.compile(rf"The {_THING} is closed\.")
_CONTENT = re.compile(rf"(?:On the {_THING}|The {_THING} is open\. In it), you see (.*?)\.")
_TAKE = re.compile(rf"You pick up the {_THING} from the {_THING}\.")
_MOVE = re.compile(rf"You move the {_THING} to the {_THING}\.")
_TREAT = re.compile(rf"You (?:clean|heat|cool) the {_THING} using the {_THING}\.")
_NAME = re.compile(r"[a-z]+ \d+")


@dataclass
class Memory:
    """The household as far as it has been seen."""

    room: list[str] = field(default_factory=list)
    """Receptacles in the order in which the room text lists them."""
    seen: dict[str, list[str]] = field(default_factory=dict)
    """What was last seen in or on each receptacle that has been looked into."""
    at: str | None = None
    closed: bool = False
    """Whether the receptacle one stands before is closed."""
    held: str | None = None
    treated: set[str] = field(default_factory=set)
    """Objects that were cleaned, heated or cooled."""
    last: Literal["take", "move"] | None = None
    """What the last action did, where the next thought depends on it."""
    thoughts: str = ""
    """All that was said so far."""

    def where(self, kind: str) -> list[tuple[str, str]]:
        """Known objects of a type as (object, receptacle), those within reach first."""
        found = [(o, r) for r, things in self.seen.items() for o in things if o.split()[0] == kind]
        return sorted(found, key=lambda pair: pair[1] != self.at)

    def observe(self, text: str) -> None:
        """Take in one observation."""
        self.last = None
        if not self.room and (room := _ROOM.search(text)):
            self.room = _NAME.findall(room[1])
        if arrive := _ARRIVE.search(text):
            self.at = arrive[1]
        if content := _CONTENT.search(text):
            self.seen[content[1] or content[2]] = _NAME.findall(content[3])
        self.closed = bool(_CLOSED.search(text)) if arrive or content else self.closed
        if take := _TAKE.search(text):
            self.held, self.last = take[1], "take"
            self.seen.setdefault(take[2], [take[1]]).remove(take[1])
        if move := _MOVE.search(text):
            self.held, self.last = None, "move"
            self.seen.setdefault(move[2], []).append(move[1])
        if treat := _TREAT.search(text):
            self.treated.add(treat[1])


def recall(messages: Sequence[Message]) -> Memory:
    """Everything a conversation tells, from the task on."""
    memory = Memory()
    for message in messages:
        if message.role == "assistant":
            memory.thoughts += message.content + "\n"
        else:
            memory.observe(message.content)
    return memory
