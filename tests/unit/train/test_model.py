"""Packed rows against one conversation at a time, on tiny random models of several families."""

import numpy as np
import pytest
import torch
from tiny import CONFIGS, build, conversations

from agentray.mix.packing import pack
from agentray.train.model import token_losses


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
