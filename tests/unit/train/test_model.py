"""Packed rows against one conversation at a time, on tiny random models of several families."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from agentray.data.packing import pack
from agentray.data.samples import Sample
from agentray.train.model import ATTENTION, token_losses

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


def plain_losses(config, samples):
    """Each conversation by itself, through the library's own attention and full output head."""
    model = build(config)
    model.set_attn_implementation("eager")
    total, losses = 0.0, []
    for sample in samples:
        ids = torch.from_numpy(sample.input_ids).long()
        logits = model(ids[None]).logits[0, :-1]
        each = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
        each = each[torch.from_numpy(sample.loss_mask[1:])]
        losses.append(each)
        total = total + each.sum()
    total.backward()
    return losses, {name: each.grad for name, each in model.named_parameters()}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
@pytest.mark.parametrize("shared", [0, 40])
@pytest.mark.parametrize("row_tokens", [64, 2048])
def test_packed_loss_and_gradient_equal_those_of_lone_conversations(config, shared, row_tokens):
    samples = conversations(shared)
    expected, gradients = plain_losses(config, samples)
    model = build(config)
    for row in pack(samples, row_tokens):
        losses = token_losses(model, row)
        losses.sum().backward()
        for index in np.unique(row.samples):
            torch.testing.assert_close(
                losses[torch.from_numpy(row.samples == index)], expected[index], rtol=1e-4, atol=1e-5
            )
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-4)
