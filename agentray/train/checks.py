"""What a corpus and a model must have in common, checked in the driver before Ray starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoConfig

from agentray.chat.loading import fingerprint
from agentray.errors import DataError, UsageError
from agentray.mix.corpus import Corpus
from agentray.mix.samples import Sample


def check_corpus(corpus: Corpus, directory: Path, model: str, tokenizer: Any) -> None:
    """Refuse a corpus that the model cannot be trained on.

    Args:
        corpus: What is trained on.
        directory: Where it lies.
        model: A model directory or id.
        tokenizer: The model's tokenizer.

    Raises:
        UsageError: Another tokenizer made the corpus.
        DataError: It holds ids without an embedding, or samples longer than the model's context.
    """
    text = AutoConfig.from_pretrained(model).get_text_config()
    _check_tokenizer(corpus, directory, model, tokenizer)
    _check_ids(corpus, text.vocab_size, len(tokenizer))
    _check_lengths(corpus, getattr(text, "max_position_embeddings", None))


def _check_tokenizer(corpus: Corpus, directory: Path, model: str, tokenizer: Any) -> None:
    mine = fingerprint(tokenizer)
    if corpus.tokenizer != mine:
        raise UsageError(
            f"the corpus in {str(directory)!r} was mixed for another tokenizer",
            f"its ids are of tokenizer {corpus.tokenizer or 'unknown'}, model {model!r} has tokenizer {mine}",
            f"run `agentray mix` again with --model {model}",
        )


def _check_ids(corpus: Corpus, num_embeddings: int, num_tokens: int) -> None:
    """Ids beyond the embeddings are an error only where a sample holds one."""
    beyond = sum(bool((each.input_ids >= num_embeddings).any()) for each in _samples(corpus))
    if beyond:
        largest = max(int(np.max(each.input_ids)) for each in _samples(corpus))
        raise DataError(
            f"{beyond} samples hold tokens that the model has no embedding for",
            f"the tokenizer has {num_tokens} tokens, the model {num_embeddings} embeddings; "
            f"the largest id is {largest}",
            "resize the model's embeddings, or run `agentray mix` again without what adds those tokens",
        )


def _check_lengths(corpus: Corpus, context: int | None) -> None:
    lengths = [len(each.input_ids) for each in _samples(corpus)]
    if context is None or not lengths or max(lengths) <= context:
        return
    beyond = sum(each > context for each in lengths)
    raise DataError(
        f"{beyond} of {len(lengths)} samples are longer than the model's context",
        f"the longest has {max(lengths)} tokens, the model takes {context}",
        f"run `agentray mix` again with --set mix.max_length={context}",
    )


def _samples(corpus: Corpus) -> Iterator[Sample]:
    for part in (corpus.training, corpus.validation):
        for samples in part.values():
            yield from samples
