"""Chat templates: from a conversation to the ids that a model sees, replies that it sampled kept verbatim.

A conversation is cut into pieces at the borders of its replies. A sampled reply keeps the very ids that were
sampled; every other piece is tokenized by itself. The engine makes its prompts of these pieces, and training
its samples: a model learns from the ids it acted on, and a prompt begins with all ids of the turn before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentray.errors import DataError
from agentray.types import Message


class Tokenizer(Protocol):
    """What is needed of a `transformers` tokenizer."""

    eos_token: str

    def apply_chat_template(self, conversation: list[dict[str, str]], **kwargs: Any) -> Any:
        """Render messages as text (`tokenize=False`)."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Text to ids."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Ids to text."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of rendered text that is tokenized by itself."""

    text: str
    loss: bool
    ids: tuple[int, ...] | None = None
    """The ids a policy sampled for this text, end-of-turn token included."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is shown before it replies."""

    ids: tuple[int, ...]
    prefix_kept: bool | None
    """Whether it begins with all ids of the turn before, prompt and reply; None where no reply has ids."""


class TemplateError(DataError):
    """The chat template gives no way to tell which of its text is a reply."""


def pieces(conversation: Sequence[Message], tokenizer: Tokenizer, *, opened: bool = False) -> list[Piece]:
    """Cut the rendered conversation at the borders of its replies: messages with `loss` or `token_ids`.

    Args:
        conversation: Messages.
        tokenizer: Renders the chat template.
        opened: Whether the text after the last reply, and the opening of the next one, is the last piece;
            else it is left out.

    Raises:
        TemplateError: The prompt of a reply is not how the conversation begins, because the template renders
            history anew when it goes on; or a reply, or the token that ends it, is not found in the text.
    """
    found: list[Piece] = []
    cursor = 0
    full = _render(conversation, tokenizer, opened=opened)
    end_of_turn = tuple(tokenizer.encode(tokenizer.eos_token, add_special_tokens=False))
    for index, message in enumerate(conversation):
        ids = message.token_ids
        if not (message.loss or ids):
            continue
        prompt = _render(conversation[:index], tokenizer, opened=True)
        start = len(prompt)
        if start < cursor or not full.startswith(prompt):
            raise TemplateError(
                f"the chat template re-renders what precedes message {index} when the conversation goes on",
                "the text before a reply must not depend on what follows it",
                "use a model whose template only appends",
            )
        reply, end = _find_reply(full, start, message.content, tokenizer.eos_token, index)
        if ids and ids[-len(end_of_turn) :] != end_of_turn:
            end = reply  # the policy was cut off and never chose to end its turn
        found += [Piece(full[cursor:start], False), Piece(full[start:end], message.loss, ids or None)]
        cursor = end
    return [*found, Piece(full[cursor:], False)] if opened else found


def encode(parts: Iterable[Piece], tokenizer: Tokenizer) -> list[list[int]]:
    """The ids of each piece: those sampled, or its text's."""
    return [list(part.ids or tokenizer.encode(part.text, add_special_tokens=False)) for part in parts]


def prompt_of(conversation: Sequence[Message], tokenizer: Tokenizer) -> Prompt:
    """The ids that open the next reply to a conversation.

    The prompt goes on from the ids of earlier replies. Where the template renders those turns anew (it hides
    earlier reasoning, say) it is the ids of the whole text, as the model expects, and the prefix is lost.
    """
    sampled = any(message.token_ids for message in conversation)
    if sampled:
        try:
            parts = pieces(conversation, tokenizer, opened=True)
            return Prompt(tuple(token for ids in encode(parts, tokenizer) for token in ids), True)
        except TemplateError:
            pass
    text = _render(conversation, tokenizer, opened=True)
    return Prompt(tuple(tokenizer.encode(text, add_special_tokens=False)), False if sampled else None)


def _find_reply(full: str, start: int, content: str, eos_token: str, index: int) -> tuple[int, int]:
    """Where the reply that starts at `start` ends in the text, without and with its end-of-turn token.

    Raises:
        TemplateError: It is not there, or something else than blanks precedes its end-of-turn token.
    """
    reply = next((text for text in (content, content.strip()) if full.startswith(text, start)), None)
    if reply is not None:
        end = start + len(reply)
        eos = full.find(eos_token, end)
        if eos >= 0 and not full[end:eos].strip():
            return end, eos + len(eos_token)
    raise TemplateError(
        f"the chat template does not end the reply in message {index} with {eos_token!r}",
        "a reply must be found where its prompt ends, and as it was written",
        "use a model whose template ends every assistant turn with its end-of-sequence token",
    )


def _render(conversation: Sequence[Message], tokenizer: Tokenizer, *, opened: bool) -> str:
    """The conversation as text; `opened` adds the opening of the next reply."""
    plain = [{"role": each.role, "content": each.content} for each in conversation]
    return str(tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=opened))
