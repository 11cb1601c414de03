"""A model's tokenizer, chat template and context length, by its name or directory."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from agentray.chat.template import Template
from agentray.config import TemplateConfig
from agentray.models import resolve_model, unloadable


def load_template(model: str, config: TemplateConfig) -> Template:
    """The chat template of a model, with its tokenizer.

    Raises:
        UsageError: There is no such model or template, or the tokenizer cannot be used.
    """
    return Template(load_tokenizer(model), config)


def load_tokenizer(model: str) -> Any:
    """The tokenizer of a model.

    Raises:
        UsageError: There is no such model, or its tokenizer cannot be loaded.
    """
    from transformers import AutoTokenizer

    place = resolve_model(model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
    except Exception as error:  # a broken file raises what it happens to break
        raise unloadable(model, error) from error
    return tokenizer


def context_length(model: str) -> int | None:
    """Most tokens that a model sees at once; None where its configuration does not say.

    Raises:
        UsageError: There is no such model, or its configuration cannot be loaded.
    """
    from transformers import AutoConfig

    place = resolve_model(model)
    try:
        described = AutoConfig.from_pretrained(place).get_text_config()
    except Exception as error:  # a broken file raises what it happens to break
        raise unloadable(model, error) from error
    found = getattr(described, "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def fingerprint(tokenizer: Any) -> str:
    """Identity of a tokenizer: equal where every text has equal ids. 16 hex digits."""
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=True)
    return hashlib.sha256(vocabulary.encode()).hexdigest()[:16]
