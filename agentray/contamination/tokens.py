"""Text cut into tokens at the speed of memory, for comparing corpora that are larger than memory.

A token is a slice of one buffer of bytes, and two tokens are equal when their bytes are: documents can be cut
one batch at a time, anywhere. Hashes propose which tokens are equal, and an exact comparison decides. A token
of up to 16 bytes is wholly in two machine words, so the comparison, too, is a few array operations.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from agentray.errors import MissingDependencyError
from agentray.models import resolve_model, unloadable

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.int32]

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
_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
"""Multipliers of the hashes: 2^64 over the golden ratio, and two primes of xxHash; odd numbers would do."""
_WORD_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)


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
    """The text as it was, at the same positions as `content`; empty where those are not text."""


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


class SubwordTokenizer:
    """Cuts text as a model does, case and spaces included.

    Args:
        model: Model directory, id or known name.

    Raises:
        MissingDependencyError: transformers is not installed.
        UsageError: There is no such model, or its tokenizer cannot be loaded.
    """

    def __init__(self, model: str) -> None:
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise MissingDependencyError(
                "a model's tokenizer needs transformers", str(error), 'pip install "agentray[train]"'
            ) from error
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(resolve_model(model))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise unloadable(model, error) from error

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """The tokens of some documents; each is the four bytes of its id."""
        rows = (
            self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
            if texts
            else []
        )
        ids = np.concatenate([np.asarray(row, "<i4") for row in ([], *rows)])
        margin = bytes(PADDING)
        content = np.frombuffer(b"".join((margin, ids.tobytes(), margin)), np.uint8)
        starts = PADDING + 4 * np.arange(len(ids))
        bounds = np.cumsum([0, *(len(row) for row in rows)])
        return Tokens(content, starts, starts + 4, bounds, b"")

    def passage(self, tokens: Tokens, first: int, last: int) -> str:
        """The text that some tokens decode to."""
        content = tokens.content[tokens.starts[first] : tokens.ends[last - 1]]
        text: str = self._tokenizer.decode(content.view("<i4").tolist(), skip_special_tokens=False)
        return text


class Keys(NamedTuple):
    """Tokens as numbers: equal tokens have equal ones, and those of up to 16 bytes only they."""

    heads: Hashes
    """Their first eight bytes."""
    tails: Hashes
    """Their last eight, where they are longer than eight."""
    sizes: Positions
    """Their lengths in bytes."""


@dataclass(frozen=True)
class Vocabulary:
    """The distinct tokens of the test side: training tokens get their number, or -1."""

    tokens: Tokens
    keys: Keys
    hashes: Hashes
    """uint64 (words,), ascending."""
    most_alike: int
    """Most words with one hash; above 1 only when hashes collide."""
    hash_bits: int

    def number(self, tokens: Tokens, chosen: Positions, hashes: Hashes) -> Ids:
        """The exact number of each chosen token; a hash only proposes it.

        Args:
            tokens: Training tokens.
            chosen: Which of them.
            hashes: Their hashes.
        """
        keys = _keys(tokens, chosen)
        first = np.searchsorted(self.hashes, hashes)
        numbers = np.full(len(chosen), -1, np.int32)
        for alike in range(self.most_alike):
            word = np.minimum(first + alike, len(self.hashes) - 1)
            equal = (self.hashes[word] == hashes) & (keys.sizes == self.keys.sizes[word])
            equal &= (keys.heads == self.keys.heads[word]) & (keys.tails == self.keys.tails[word])
            for place in np.flatnonzero(equal & (keys.sizes > 16)):
                equal[place] = _bytes(tokens, chosen[place]) == _bytes(self.tokens, word[place])
            numbers[equal] = word[equal]
        return numbers


def build_vocabulary(tokens: Tokens, hash_bits: int) -> tuple[Vocabulary, Ids]:
    """The distinct tokens in the order of their hashes, and each token's number."""
    known: dict[bytes, int] = {}
    content = tokens.content.tobytes()
    edges = zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)
    ids = np.array([known.setdefault(content[start:end], len(known)) for start, end in edges], np.int64)
    margin = bytes(PADDING)
    buffer = np.frombuffer(b"".join((margin, *known, margin)), np.uint8)
    ends = PADDING + np.cumsum(np.array([len(word) for word in known], np.int64))
    starts = np.concatenate((np.full(min(len(ends), 1), PADDING), ends[:-1]))
    hashes = token_hashes(Tokens(buffer, starts, ends, ends, b""), hash_bits)
    order = np.argsort(hashes, kind="stable")
    words = Tokens(buffer, starts[order], ends[order], np.array([0, len(order)]), b"")
    _, counts = np.unique(hashes, return_counts=True)
    vocabulary = Vocabulary(words, _keys(words), hashes[order], int(counts.max(initial=0)), hash_bits)
    return vocabulary, np.argsort(order).astype(np.int32)[ids]


def token_hashes(tokens: Tokens, hash_bits: int) -> Hashes:
    """Hash of each token; equal tokens have equal ones.

    Args:
        tokens: The tokens.
        hash_bits: Leading bits to keep.
    """
    keys = _keys(tokens)
    mixed = keys.heads * np.uint64(_ODD[0]) ^ keys.tails * np.uint64(_ODD[1])
    mixed ^= mixed >> np.uint64(29)
    return _kept((mixed + keys.sizes.astype(np.uint64)) * np.uint64(_ODD[2]), hash_bits)


def gram_hashes(hashes: Hashes, length: int, hash_bits: int) -> Hashes:
    """Hash of the `length` tokens from each position on: of two shorter windows, which may overlap."""
    width = 1
    while width < length:
        step = min(width, length - width)
        mixed = hashes * np.uint64(_ODD[0])
        mixed ^= mixed >> np.uint64(32)
        hashes = mixed[:-step] * np.uint64(_ODD[1]) + hashes[step:] if len(hashes) > step else hashes[:0]
        width += step
    return _kept(hashes, hash_bits)


def _keys(tokens: Tokens, chosen: Positions | None = None) -> Keys:
    """The tokens, or the chosen ones, as numbers."""
    starts = tokens.starts if chosen is None else tokens.starts[chosen]
    ends = tokens.ends if chosen is None else tokens.ends[chosen]
    eights = np.ndarray((len(tokens.content) - 7,), "<u8", tokens.content, strides=(1,))
    sizes = ends - starts
    heads = eights[starts] & _WORD_MASKS[np.minimum(sizes, 8)]
    return Keys(heads, np.where(sizes > 8, eights[ends - 8], np.uint64(0)), sizes)


def _kept(hashes: Hashes, hash_bits: int) -> Hashes:
    """The leading bits of hashes, in their place."""
    return hashes if hash_bits == 64 else hashes & ~np.uint64((1 << 64 - hash_bits) - 1)


def _bytes(tokens: Tokens, position: int) -> bytes:
    return tokens.content[tokens.starts[position] : tokens.ends[position]].tobytes()


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
