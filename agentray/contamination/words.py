"""Text cut into words at the speed of memory, for comparing corpora that are larger than memory.

A token is a slice of one buffer of bytes, and two tokens are equal when their bytes are: nothing here depends
on a vocabulary, and documents can be cut one batch at a time, anywhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

PADDING = 8
"""Bytes before and after the first and last token, so that eight can be read at either end of any token."""
_BETWEEN, _WORD, _MARK, _REST = range(4)
"""What a byte belongs to: nothing, a word, a token of one character, or that character's further bytes."""
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""First words of the names of letters whose scripts put no spaces between words: each is a token."""
_ASCII = bytes(
    _WORD if chr(code).isalnum() else _MARK if 0x20 < code < 0x7F else _BETWEEN for code in range(0x80)
)
_CLASSES = _ASCII + bytes(0x80)


@dataclass(frozen=True)
class Tokens:
    """Documents cut into tokens, one document after the other."""

    content: Bytes
    """uint8 (bytes,): what makes tokens equal, with `PADDING` at both ends."""
    starts: Positions
    """int64 (tokens,): where each token begins in `content`."""
    ends: Positions
    """int64 (tokens,): where it ends."""
    bounds: Positions
    """int64 (documents + 1,): document `d` has the tokens from `bounds[d]` to before `bounds[d + 1]`."""
    source: bytes
    """The text as it was, at the same positions as `content`; empty where those are no text."""


class Tokenizer(Protocol):
    """Cuts documents into tokens, and shows tokens as text again."""

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """The tokens of some documents."""

    def passage(self, tokens: Tokens, first: int, last: int) -> str:
        """The text from token `first` to before token `last`, which are of one document."""


class WordTokenizer:
    """Words and single marks, the same on every machine.

    A token is a run of letters, digits and the marks that combine with them, in lower case, or any other
    character that is neither white space nor a control. Letters of scripts without spaces between words
    (Chinese, Japanese, Thai and others) are a token each. Text is brought to Unicode's form NFC first; the
    few letters whose lower case takes another number of UTF-8 bytes keep their case.
    """

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """The words of some documents."""
        encoded = [_encode(text) for text in texts]
        margin = b" " * PADDING
        source = b"".join((margin, b" ".join(encoded), margin))
        content = np.frombuffer(bytearray(source).lower(), np.uint8)
        classes = np.frombuffer(bytearray(source).translate(_CLASSES), np.uint8)
        if not source.isascii():
            _classify_others(content, classes)
        starts, ends = _edges(classes)
        offsets = np.cumsum([PADDING, *(len(each) + 1 for each in encoded)])
        return Tokens(content, starts, ends, np.searchsorted(starts, offsets), source)

    def passage(self, tokens: Tokens, first: int, last: int) -> str:
        """The text of some tokens and what lies between them, as it was written."""
        return tokens.source[tokens.starts[first] : tokens.ends[last - 1]].decode()


def _encode(text: str) -> bytes:
    """UTF-8 of the text in form NFC; a half of a surrogate pair, which JSON may hold, is a question mark."""
    if text.isascii():
        return text.encode()
    return unicodedata.normalize("NFC", text).encode("utf-8", "replace")


def _edges(classes: Bytes) -> tuple[Positions, Positions]:
    """Where tokens begin and end, from the class of each byte."""
    word, mark = classes == _WORD, classes == _MARK
    begins, ends = mark.copy(), np.zeros(len(classes) + 1, np.bool_)
    begins[1:] |= word[1:] & ~word[:-1]
    ends[1:-1] = word[:-1] & ~word[1:]
    inside = classes >= _MARK
    ends[1:-1] |= inside[:-1] & (classes[1:] != _REST)
    return np.flatnonzero(begins), np.flatnonzero(ends)


def _classify_others(content: Bytes, classes: Bytes) -> None:
    """Set the class and the lower case of the characters outside ASCII, in place."""
    leads = np.flatnonzero(content >= 0xC0)
    widths = 2 + (content[leads] >= 0xE0) + (content[leads] >= 0xF0)
    codes = content[leads].astype(np.int64) & np.array([0, 0, 0x1F, 0x0F, 0x07])[widths]
    for place in range(1, 4):
        more = np.flatnonzero(widths > place)
        codes[more] = codes[more] << 6 | content[leads[more] + place] & 0x3F
    distinct, which = np.unique(codes, return_inverse=True)
    traits = [_trait(int(code)) for code in distinct]
    kinds = np.array([kind for kind, _ in traits], np.uint8)[which]
    lowered = np.frombuffer(b"".join(lower for _, lower in traits), np.uint8).reshape(-1, 4)[which]
    for place in range(4):
        here = np.flatnonzero(widths > place)
        classes[leads[here] + place] = (
            np.where(kinds[here] == _MARK, _REST, kinds[here]) if place else kinds[here]
        )
        content[leads[here] + place] = lowered[here, place]


@cache
def _trait(code: int) -> tuple[int, bytes]:
    """Class of a character, and the UTF-8 of its lower case, filled up to four bytes."""
    character = chr(code)
    lower = character.lower().encode()
    if len(lower) != len(character.encode()):
        lower = character.encode()
    group = unicodedata.category(character)[0]
    if group in "ZC":
        kind = _BETWEEN
    elif group in "LMN" and not unicodedata.name(character, "").startswith(_UNSPACED):
        kind = _WORD
    else:
        kind = _MARK
    return kind, lower.ljust(4, b"\0")
