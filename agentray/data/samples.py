"""Training samples: a conversation's token ids and the proof that loss falls on the replies and nowhere else.

A conversation is cut into pieces at the borders of its loss-bearing replies. Each piece is tokenized by
itself, because that is what the model sees when it acts: the prompt ends where its reply begins. Replies
that a policy sampled keep the very ids it sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from agentray.errors import DataError
from agentray.types import Message

Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


class Tokenizer(Protocol):
    """What samples need of a `transformers` tokenizer."""

    eos_token: str

    def apply_chat_template(self, conversation: list[dict[str, str]], **kwargs: Any) -> Any:
        """Render messages as text (`tokenize=False`)."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Text to ids."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Ids to text."""


@dataclass(frozen=True)
class Sample:
    """One tokenized conversation."""

    input_ids: Ids
    """int32 (length,)"""
    loss_mask: Mask
    """bool (length,): True at tokens predicted with loss: replies and their end-of-turn tokens."""
    prefix_length: int = 0
    """Leading tokens without loss that belong to the instruction; other samples may share them."""


@dataclass(frozen=True)
class Piece:
    """A stretch of rendered text that is tokenized by itself."""

    text: str
    loss: bool
    ids: tuple[int, ...] | None = None
    """The ids a policy sampled for this text, end-of-turn token included."""


class TemplateError(DataError):
    """The chat template gives no way to tell which of its text is a reply."""


def pieces(
    conversation: Sequence[Message],
    tokenizer: Tokenizer,
    sampled: Mapping[int, tuple[int, ...]] | None = None,
) -> list[Piece]:
    """Cut the rendered conversation at the borders of its loss-bearing replies.

    Args:
        conversation: Messages; those with `loss` are trained on.
        tokenizer: Renders the chat template.
        sampled: Ids that a policy sampled, by message index.

    Raises:
        TemplateError: Rendering a longer conversation changes the text before it, or a reply or the token
            that ends it cannot be found in the text.
    """
    found: list[Piece] = []
    cursor = 0
    full = _render(conversation, tokenizer)
    for index, message in enumerate(conversation):
        if not message.loss:
            continue
        prompt = _render(conversation[:index], tokenizer, prompt=True)
        so_far = _render(conversation[: index + 1], tokenizer)
        if not full.startswith(so_far) or not so_far.startswith(prompt):
            raise TemplateError(
                f"the chat template re-renders message {index} when the conversation goes on",
                "the text before a reply must not depend on what follows it",
                "use a model whose template only appends",
            )
        rest = so_far[len(prompt) :]
        reply = next(
            (text for text in (message.content, message.content.strip()) if rest.startswith(text)), None
        )
        end = rest.find(tokenizer.eos_token, len(reply)) if reply is not None else -1
        if reply is None or end < 0 or rest[len(reply) : end].strip():
            raise TemplateError(
                f"the chat template does not end the reply in message {index} with {tokenizer.eos_token!r}",
                "loss needs to know where a reply starts and that it ends",
                "use a model whose template ends every assistant turn with its end-of-sequence token",
            )
        end += len(tokenizer.eos_token)
        ids = (sampled or {}).get(index)
        if ids and not tokenizer.decode(ids, skip_special_tokens=False).endswith(tokenizer.eos_token):
            end = len(reply)  # the policy was cut off and never chose to end its turn: nor is that trained
        found += [Piece(full[cursor : len(prompt)], False), Piece(rest[:end], True, ids)]
        cursor = len(prompt) + end
    return found


def build(
    conversation: Sequence[Message],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    sampled: Mapping[int, tuple[int, ...]] | None = None,
) -> tuple[Sample | None, str | None]:
    """The sample of a conversation, or the reason why there is none.

    The reasons: `no_loss`; `too_long`; `inexact_reply`, when sampled ids say more than the reply's text shows
    (a control token, or half of a character at the end).

    Text after the last reply is left out. The mask is proved: decoding the positions with loss gives
    exactly the replies, each with its end-of-turn token.

    Raises:
        TemplateError: The chat template does not tell where replies are.
        DataError: The proof fails.
    """
    parts = pieces(conversation, tokenizer, sampled)
    if not parts:
        return None, "no_loss"
    if any(part.ids and tokenizer.decode(part.ids, skip_special_tokens=False) != part.text for part in parts):
        return None, "inexact_reply"
    ids: list[int] = []
    mask: list[bool] = []
    for part in parts:
        tokens = part.ids if part.ids else tokenizer.encode(part.text, add_special_tokens=False)
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


def _render(conversation: Sequence[Message], tokenizer: Tokenizer, prompt: bool = False) -> str:
    plain = [{"role": each.role, "content": each.content} for each in conversation]
    text = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=prompt)
    return str(text)
