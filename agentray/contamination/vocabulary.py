"""Tokens as numbers: hashes that propose which are equal, and the exact comparison that decides.

A token of up to 16 bytes is wholly in two machine words, so the comparison, too, is a few array operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from agentray.contamination.words import PADDING, Hashes, Positions, Tokens

Ids = npt.NDArray[np.int32]

_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
"""Multipliers of the hashes: 2^64 over the golden ratio, and two primes of xxHash; odd numbers would do."""
_WORD_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)


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
