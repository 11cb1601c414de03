"""Where the tokens of a reply begin and end in its text, so that a page can colour them.

Records hold the ids that were sampled, not their text. With the tokenizer of the model that sampled them each
id is decoded once and laid along the reply; without one a page shows only how probable each token was.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

_FILE = "tokenizer.json"
_INCOMPLETE = "\ufffd"


class TokenBounds:
    """Token boundaries by one tokenizer.

    Args:
        path: A model directory's `tokenizer.json`.
    """

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        self._decode = cache(Tokenizer.from_file(str(path)).decode)

    def lengths(self, token_ids: Sequence[int], text: str) -> list[int] | None:
        """Length of each token's text, in UTF-16 code units as browsers count; they add up to the text's.

        A control token has length 0, and so has one that ends inside a character: the token that completes
        the character has the length of both.

        Returns:
            None when the ids do not decode to the text: another tokenizer made them, or the text was cut.
        """
        lengths: list[int] = []
        pending: tuple[int, ...] = ()
        place = 0
        for token_id in token_ids:
            pending += (token_id,)
            piece = self._decode(pending)
            start = place + (not text.startswith(piece, place))  # some tokenizers drop a leading space
            if text.startswith(piece, start) and text[place:start].isspace() == (start > place):
                end = start + len(piece)
                lengths.append(_units(text[place:end]) if piece else 0)
                place, pending = (end if piece else place), ()
            elif piece.endswith(_INCOMPLETE) and len(pending) < 4:
                lengths.append(0)
            else:
                return None
        return lengths if place == len(text) and not pending else None


def find_bounds(directories: Sequence[Path]) -> TokenBounds | None:
    """Boundaries by the first directory that has a tokenizer; None without one, or without its library."""
    for directory in directories:
        if (directory / _FILE).is_file():
            try:
                return TokenBounds(directory / _FILE)
            except ImportError:
                return None
    return None


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
