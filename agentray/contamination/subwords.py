"""A model's own tokens in place of words: exact too, and slower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agentray.contamination.words import PADDING, Tokens
from agentray.errors import MissingDependencyError
from agentray.models import resolve_model, unloadable


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
