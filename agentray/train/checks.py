"""What a corpus and a model must have in common, checked in the driver before Ray starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoConfig

from agentray.chat.loading import fingerprint, load_tokenizer
from agentray.errors import DataError, UsageError
from agentray.mix.corpus import Corpus
from agentray.mix.rows import largest_id, lengths
from agentray.mix.samples import Sample


def tokenizer_of(model: str, corpus: Corpus) -> Any:
    """The tokenizer of a model, with the chat template that the corpus was made with: it is served so.

    Raises:
        UsageError: It cannot be loaded.
    """
    tokenizer = load_tokenizer(model)
    if corpus.chat_template is not None:
        tokenizer.chat_template = corpus.chat_template
    return tokenizer


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
    if max(map(largest_id, _sources(corpus)), default=-1) < num_embeddings:
        return
    largest = [int(each.input_ids.max()) for source in _sources(corpus) for each in source]
    beyond = sum(each >= num_embeddings for each in largest)
    if beyond:
        raise DataError(
            f"{beyond} samples hold tokens that the model has no embedding for",
            f"the tokenizer has {num_tokens} tokens, the model {num_embeddings} embeddings; "
            f"the largest id is {max(largest)}",
            "resize the model's embeddings, or run `agentray mix` again without what adds those tokens",
        )


def _check_lengths(corpus: Corpus, context: int | None) -> None:
    found = np.concatenate([np.zeros(0, np.int64), *map(lengths, _sources(corpus))])
    beyond = int((found > context).sum()) if context is not None else 0
    if not beyond:
        return
    raise DataError(
        f"{beyond} of {len(found)} samples are longer than the model's context",
        f"the longest has {found.max()} tokens, the model takes {context}",
        f"run `agentray mix` again with --set mix.max_length={context}",
    )


def _sources(corpus: Corpus) -> list[Sequence[Sample]]:
    return [*corpus.training.values(), *corpus.validation.values()]
