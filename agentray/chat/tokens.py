"""Text to ids, once, with the characters behind each id; control tokens inside a message stay text."""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from agentray.errors import UsageError
from agentray.types import Message

_SHIELD = "\ufdd0{}\ufdd1"
"""Stands for the control token of a number where a message only mentions it. No text has these characters:
Unicode keeps them for such use."""
_SHIELDED = re.compile("\ufdd0(\\d+)\ufdd1")
_GENUINE = "\ufdd2{}\ufdd3"
"""Stands for a control token of the template where messages mention some."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The ids of a text."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    """First character of each id, and the one after its last."""


class Tokens:
    """A tokenizer that says where each id comes from.

    Args:
        tokenizer: A `transformers` tokenizer.

    Raises:
        UsageError: It has no `tokenizers` backend, and so no offsets.
    """

    def __init__(self, tokenizer: Any) -> None:
        if getattr(tokenizer, "backend_tokenizer", None) is None:
            raise UsageError(
                f"the tokenizer {type(tokenizer).__name__} does not say which characters a token comes from",
                "replies are found by character offsets, which only `tokenizers` backends give",
                "save the model with a tokenizer.json",
            )
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder
        self._ids = {token.content: number for number, token in added.items() if token.special}
        names = sorted(self._ids, key=len, reverse=True)
        self.control: re.Pattern[str] | None = re.compile("|".join(map(re.escape, names))) if names else None
        """Finds control tokens in a rendered text."""
        self._names = names
        whole = [each.content for each in added.values() if each.special and not (each.lstrip or each.rstrip)]
        self.isolator = (whole or ["\n"])[0]
        """A text that is always a token of its own, where the tokenizer has one."""

    def shielded(self, message: Message) -> Message:
        """A message whose texts mention no control token: a private character pair stands for each."""
        if self.control is None or not self.control.search(_texts(message)):
            return message
        calls = json.loads(self._shield(json.dumps(list(message.tool_calls), ensure_ascii=False)))
        return replace(
            message,
            content=self._shield(message.content),
            reasoning=None if message.reasoning is None else self._shield(message.reasoning),
            tool_calls=tuple(calls),
        )

    def plain(self, text: str) -> str:
        """A rendered text as it reads, without shields."""
        return _SHIELDED.sub(lambda found: self._names[int(found[1])], text)

    def encode(self, text: str) -> Encoded:
        """Ids of a rendered text, as `transformers` gives them; what is shielded becomes no control token."""
        if "\ufdd0" in text:
            return self._encode_shielded(text)
        found = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return Encoded(list(found["input_ids"]), [tuple(each) for each in found["offset_mapping"]])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, control tokens shown."""
        options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        return str(self._tokenizer.decode(list(ids), **options))

    def says(self, ids: Sequence[int], text: str, *, blanks: bool = True) -> bool:
        """Whether ids decode to a text, Unicode normal forms apart, which tokenizers may change.

        Args:
            ids: Token ids.
            text: A rendered text.
            blanks: Whether blanks count; never for a tokenizer that does not keep them (SentencePiece).
        """
        said, expected = (
            unicodedata.normalize("NFKC", each) for each in (self.decode(ids), self.plain(text))
        )
        if said == expected:
            return True
        return not (blanks and self._keeps_blanks) and "".join(said.split()) == "".join(expected.split())

    def ends_with_control(self, text: str) -> bool:
        """Whether a text ends with a control token."""
        return text.endswith(tuple(self._names))

    def is_control(self, token: int) -> bool:
        """Whether an id is a control token."""
        return token in self._control_ids

    @cached_property
    def _keeps_blanks(self) -> bool:
        text = " a  b\n"
        return self.decode(self.encode(text).ids) == text

    @cached_property
    def _control_ids(self) -> frozenset[int]:
        return frozenset(self._ids.values())

    def _shield(self, text: str) -> str:
        assert self.control is not None
        return self.control.sub(lambda found: _SHIELD.format(self._names.index(found.group())), text)

    def _encode_shielded(self, text: str) -> Encoded:
        """Encode with a copy of the tokenizer that knows the control tokens by other names only."""
        backend, ids = self._renamed
        pieces: list[str] = []
        edges: list[tuple[int, int, int]] = []  # where a piece begins in the copy's text and in ours
        place = cursor = 0
        assert self.control is not None
        for found in re.compile(f"{_SHIELDED.pattern}|{self.control.pattern}").finditer(text):
            shield = _SHIELDED.fullmatch(found.group())
            name = (
                self._names[int(shield.group(1))]
                if shield
                else _GENUINE.format(self._names.index(found.group()))
            )
            pieces += [text[cursor : found.start()], name]
            edges.append((place, cursor, 0))
            place += found.start() - cursor
            edges.append((place, found.start(), found.end() - found.start()))
            place += len(name)
            cursor = found.end()
        edges.append((place, cursor, 0))
        encoding = backend.encode("".join([*pieces, text[cursor:]]), add_special_tokens=False)
        starts = [edge[0] for edge in edges]

        def ours(offset: int, *, last: bool) -> int:
            """A place of the copy's text in ours; a rewritten piece counts as a whole."""
            index = bisect_right(starts, offset - last) - 1
            begin, mine, width = edges[max(0, index)]
            if width:
                return mine + width if last else mine
            return mine + offset - begin

        offsets = [(ours(a, last=False), ours(b, last=True)) for a, b in encoding.offsets]
        return Encoded([ids.get(each, each) for each in encoding.ids], offsets)

    @cached_property
    def _renamed(self) -> tuple[Any, Mapping[int, int]]:
        """The copy, and the ids of its control tokens to ours."""
        backend = self._tokenizer.backend_tokenizer
        described = json.loads(backend.to_str())
        described |= {"post_processor": None, "truncation": None, "padding": None}
        for token in described["added_tokens"]:
            if token["content"] in self._ids:
                token["content"] = _GENUINE.format(self._names.index(token["content"]))
        copy = type(backend).from_str(json.dumps(described))
        ids = {copy.token_to_id(_GENUINE.format(i)): self._ids[name] for i, name in enumerate(self._names)}
        return copy, ids


def _texts(message: Message) -> str:
    calls = json.dumps(list(message.tool_calls), ensure_ascii=False) if message.tool_calls else ""
    return "\n".join((message.content, message.reasoning or "", calls))
