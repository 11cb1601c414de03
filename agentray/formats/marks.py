"""Which replies training takes loss on, as the records of other tools mark it.

OpenAI's `weight`, AgentInstruct's `loss`, and the `train`, `trainable`, `training` and `loss_mask` of others
say the same; a mark that says anything but yes or no costs its record, because it cannot be honoured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agentray.formats.reasons import Unusable, short

FIELDS = ("weight", "train", "trainable", "training", "loss", "loss_mask")
"""Fields of a message that mark it, and of a record that mark its messages in a list."""
LISTS = (*FIELDS, "weights")
SPANS = ("train_detail", "training_detail")
"""Fields that mark parts of a message."""

_OFF = frozenset({"false", "no", "0", "0.0"})
_ON = frozenset({"true", "yes", "1", "1.0"})

Mark = tuple[str, Any]
"""Field and value."""


def marked(turn: Mapping[str, Any], more: Sequence[Mark] = ()) -> bool | None:
    """What the marks of a message say of its loss; None where none says anything.

    Args:
        turn: The message's record.
        more: What its conversation says of it.

    Raises:
        Unusable: A mark says neither yes nor no, or two disagree.
    """
    for name in SPANS:
        if turn.get(name):
            raise Unusable("partial_loss", f"{name} marks parts of a message")
    if turn.get("mask") is not None:
        raise Unusable("bad_loss_field", "mask does not say whether it hides or shows; write loss")
    found = [(name, turn[name]) for name in FIELDS if name in turn] + list(more)
    said = [(name, value, _flag(name, value)) for name, value in found if value is not None]
    if len({flag for _, _, flag in said}) > 1:
        shown = ", ".join(f"{name} is {short(value)}" for name, value, _ in said)
        raise Unusable("conflicting_loss", shown)
    return said[0][2] if said else None


def of_record(record: Mapping[str, Any], num_turns: int) -> list[list[Mark]]:
    """What a record says of each of its messages.

    Raises:
        Unusable: It weighs the whole record, or its list has not one value per message.
    """
    marks: list[list[Mark]] = [[] for _ in range(num_turns)]
    for name in LISTS:
        value = record.get(name)
        if isinstance(value, list):
            if len(value) != num_turns:
                raise Unusable("bad_loss_field", f"{name} has {len(value)} values for {num_turns} messages")
            for mark, each in zip(marks, value, strict=True):
                mark.append((name, each))
        elif _weighs(name, value):
            raise Unusable("record_weight", f"{name} of the record is {short(value)}")
    return marks


def _weighs(name: str, value: Any) -> bool:
    """Whether a record's field asks for less, or more, than the record itself."""
    if value is None:
        return False
    try:
        return not _flag(name, value)
    except Unusable:
        # A record's `loss` may as well be a figure that another tool measured.
        return name in ("weight", "weights", "loss_mask")


def _flag(name: str, value: Any) -> bool:
    text = str(value).strip().lower() if isinstance(value, bool | int | float | str) else ""
    if text in _OFF | _ON:
        return text in _ON
    if name in ("weight", "weights") and isinstance(value, int | float):
        raise Unusable("fractional_weight", f"{name} is {short(value)}, not 0 or 1")
    raise Unusable("bad_loss_field", f"{name} is {short(value)}")
