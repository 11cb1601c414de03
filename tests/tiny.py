"""Tiny random models of several families, and conversations for them."""

from pathlib import Path

import numpy as np
import torch
from fakes import byte_tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from agentray.mix.samples import Sample
from agentray.train.model import ATTENTION

SIZE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 97,
    "max_position_embeddings": 512,
}
CONFIGS = [LlamaConfig(**SIZE, tie_word_embeddings=True), Qwen3Config(**SIZE, head_dim=8)]


def conversations(shared, count=6):
    rng = np.random.default_rng(1)
    prefix = rng.integers(0, 97, shared).astype(np.int32)
    found = []
    for index in range(count):
        own = rng.integers(0, 97, 15 + 40 * index).astype(np.int32)
        mask = rng.random(len(own)) < 0.4
        mask[-1] = True
        ids = np.concatenate([prefix, own])
        found.append(Sample(ids, np.concatenate([np.zeros(shared, bool), mask]), shared))
    return found


def build(config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION, dtype=torch.float32)


def save_llama(directory: Path) -> Path:
    """Save a random Llama of 60k parameters, with a byte-level tokenizer and a ChatML template."""
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(directory)
    return directory
