"""The words of a split: lists of words, table names and sentence patterns are dealt out between the splits.

Names, table names and sentence patterns of one split therefore never occur in another, by construction.
"""

from __future__ import annotations

import hashlib
import random
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from agentray.types import Split

_DEAL: tuple[Split, ...] = ("test", "validation", "train", "train", "train", "train", "train", "train")
"""Who gets the next item of a list: training three quarters, and three items are enough for all."""


def share(items: Sequence[str], split: Split) -> list[str]:
    """The items of a list that belong to `split`, dealt in the order of their hashes.

    Args:
        items: At least three distinct strings.
        split: Who asks.
    """
    ordered = sorted(items, key=lambda item: hashlib.sha256(item.encode()).digest())
    return [item for index, item in enumerate(ordered) if _DEAL[index % len(_DEAL)] == split]


@cache
def load(name: str) -> dict[str, Any]:
    """Content of a TOML file of this package."""
    return tomllib.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))


class Pools:
    """The vocabulary of one split."""

    def __init__(self, split: Split) -> None:
        self.split = split
        words = load("words.toml")
        self._words = {name: share([w.strip() for w in words[name].split(",")], split) for name in words}

    def word(self, name: str, rng: random.Random) -> str:
        """A word of the list `name` of `words.toml`."""
        return rng.choice(self._words[name])

    def invented(self, rng: random.Random) -> str:
        """A pronounceable name that exists nowhere; its first syllable belongs to this split."""
        middle = self.word("middle", rng) if rng.random() < 0.4 else ""
        return self.word("onset", rng) + middle + self.word("ending", rng)

    def name(self, rng: random.Random) -> str:
        """A place name, ordinary or invented."""
        return self.invented(rng) if rng.random() < 0.25 else self.word("place", rng)
