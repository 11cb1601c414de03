"""Training samples: a conversation's token ids and the proof that loss falls on the replies and nowhere else.

The ids are those of `agentray.template`, and so those that a model engine acts on: replies that a policy
sampled keep the very ids it sampled, and each prompt ends where its reply begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agentray.errors import DataError
from agentray.template import Piece, Tokenizer, encode, pieces
from agentray.types import Message

Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """One tokenized conversation."""

    input_ids: Ids
    """int32 (length,)"""
    loss_mask: Mask
    """bool (length,): True at tokens predicted with loss: replies and their end-of-turn tokens."""
    prefix_length: int = 0
    """Leading tokens without loss that belong to the instruction; other samples may share them."""


def build(
    conversation: Sequence[Message], tokenizer: Tokenizer, *, max_length: int
) -> tuple[Sample | None, str | None]:
    """The sample of a conversation, or the reason why there is none.

    The reasons: `no_loss`; `too_long`; `inexact_reply`, when sampled ids say more than the reply's text shows
    (a control token, or half of a character at the end).

    Text after the last reply is left out. The mask is proved: decoding the positions with loss gives
    exactly the replies, each with its end-of-turn token.

    Args:
        conversation: Messages; those with `loss` are trained on.
        tokenizer: Renders the chat template.
        max_length: Most tokens of a sample.

    Raises:
        TemplateError: The chat template does not tell where replies are.
        DataError: The proof fails.
    """
    parts = pieces(conversation, tokenizer)
    if not any(part.loss for part in parts):
        return None, "no_loss"
    if any(part.ids and tokenizer.decode(part.ids, skip_special_tokens=False) != part.text for part in parts):
        return None, "inexact_reply"
    ids: list[int] = []
    mask: list[bool] = []
    for part, tokens in zip(parts, encode(parts, tokenizer), strict=True):
        ids += tokens
        mask += [part.loss] * len(tokens)
    if len(ids) > max_length:
        return None, "too_long"
    sample = Sample(np.asarray(ids, np.int32), np.asarray(mask, np.bool_))
    prove(sample, parts, tokenizer)
    return sample, None


def prove(sample: Sample, parts: Sequence[Piece], tokenizer: Tokenizer) -> None:
    """Check that the positions with loss decode to the replies and nothing else.

    Raises:
        DataError: They do not.
    """
    expected = "".join(part.text for part in parts if part.loss)
    trained = tokenizer.decode(sample.input_ids[sample.loss_mask].tolist(), skip_special_tokens=False)
    if not expected or trained != expected:
        raise DataError(
            "the loss mask is wrong",
            f"loss positions decode to {trained[:80]!r}, the replies are {expected[:80]!r}",
            "report this model's tokenizer: its text does not survive encoding and decoding",
        )
