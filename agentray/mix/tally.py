"""What becomes of the conversations while they pass through the mix stage: a few numbers for each."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agentray.errors import DataError
from agentray.mix.packing import SharedPrefix
from agentray.mix.rows import RowWriter
from agentray.mix.samples import Built
from agentray.types import Rejection


@dataclass
class Account:
    """What came of the conversations of one name."""

    writer: RowWriter
    read: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    first: Rejection | None = None
    unknown: Counter[str] = field(default_factory=Counter)
    samples: array[int] = field(default_factory=lambda: array("l"))
    """Samples of each usable conversation."""
    tokens: array[int] = field(default_factory=lambda: array("l"))
    """Tokens of each sample."""
    loss_tokens: array[int] = field(default_factory=lambda: array("l"))
    """Those with loss."""
    held_out: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Samples to validate on, by number."""
    num_held_out: int = 0
    """Conversations they are of."""
    prefix: SharedPrefix = field(default_factory=SharedPrefix)
    largest_id: int = -1

    def take(self, outcome: Built | Rejection) -> None:
        """Count a conversation and write its samples."""
        self.read += 1
        if isinstance(outcome, Rejection):
            self.rejected[outcome.reason] += 1
            self.first = self.first or outcome
            return
        self.samples.append(len(outcome.samples))
        for sample in outcome.samples:
            self.tokens.append(len(sample.input_ids))
            self.loss_tokens.append(int(sample.loss_mask.sum()))
            self.largest_id = max(self.largest_id, int(sample.input_ids.max()))
            self.prefix.add(sample)
            self.writer.add(sample)

    def hold_out(self, fraction: float, seed: int) -> None:
        """Choose what to validate on; at least one conversation of each kind when both are wanted."""
        total = len(self.samples)
        count = round(total * fraction)
        if fraction > 0 and total > 1:
            count = min(max(count, 1), total - 1)
        chosen = np.zeros(total, np.bool_)
        chosen[np.random.default_rng([seed, 2]).permutation(total)[:count]] = True
        self.num_held_out = count
        self.held_out = np.flatnonzero(np.repeat(chosen, np.asarray(self.samples)))

    def trained(self, values: array[int]) -> npt.NDArray[np.int64]:
        """Of a value per sample, those of the samples to train on."""
        return np.delete(np.asarray(values, np.int64), self.held_out)


@dataclass
class Tally:
    """What came of all conversations."""

    accounts: dict[str, Account]
    adapted: Counter[str] = field(default_factory=Counter)
    set_aside: list[str] = field(default_factory=list)


def check_usable(side: str, share: float, accounts: Sequence[Account], limit: int) -> None:
    """Refuse a side of the mixture of which nothing is left, saying what became of it.

    Args:
        side: `agent` or `general`.
        share: How much of training is drawn from it.
        accounts: What came of its sources.
        limit: Most tokens of a sample.

    Raises:
        DataError: Something is to be drawn, and all that was read was rejected.
    """
    if not share or not accounts or any(each.samples for each in accounts):
        return
    reasons = sum((each.rejected for each in accounts), Counter[str]())
    first = next((each.first for each in accounts if each.first), None)
    shown = f"; the first: {first.place}, {first.detail or first.reason}" if first else ""
    too_long = reasons.most_common(1)[0][0] == "too_long" if reasons else False
    raise DataError(
        f"none of the {sum(each.read for each in accounts)} {side} conversations can be used",
        f"rejected: {dict(reasons)}{shown}",
        f"raise mix.max_length, now {limit}, as far as the model's context allows"
        if too_long
        else "correct the records, or give others",
    )
