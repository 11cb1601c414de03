"""A model's tokenizer, by its name or directory."""

import json

import pytest

from agentray.chat.loading import load_tokenizer
from agentray.errors import UsageError


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_a_broken_tokenizer_is_a_usage_error(tmp_path, name, text):
    for each in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        (tmp_path / each).write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="cannot load model"):
        load_tokenizer(str(tmp_path))
