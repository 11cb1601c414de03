"""Packed rows against one conversation at a time, on tiny random models of several families."""

import numpy as np
import pytest
import torch
from tiny import CONFIGS, build, conversations

from agentray.mix.packing import pack
from agentray.train.model import distilled_losses, target_logits, token_losses


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


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_distilled_losses_are_the_text_s_the_reference_s_or_between(config):
    model, reference = build(config), build(config)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    (row,) = pack(conversations(0), 4096)
    text, plain = distilled_losses(model, reference, row, 0.0, 0.5)
    torch.testing.assert_close(text, token_losses(model, row))
    torch.testing.assert_close(plain, text.detach())
    soft, _ = distilled_losses(model, reference, row, 1.0, 0.5)
    half, _ = distilled_losses(model, reference, row, 0.5, 0.5)
    torch.testing.assert_close(half, (text + soft) / 2)
    with torch.no_grad():
        mine = target_logits(model, row).log_softmax(-1)
        theirs = (target_logits(reference, row) / 0.5).softmax(-1)
    torch.testing.assert_close(soft.detach(), -(theirs * mine).sum(-1), rtol=1e-4, atol=1e-4)


def test_a_model_equal_to_its_reference_has_nothing_to_learn_from_it():
    config = CONFIGS[0]
    model, reference = build(config), build(config)
    (row,) = pack(conversations(0), 4096)
    losses, _ = distilled_losses(model, reference, row, 1.0)
    losses.sum().backward()
    moved = max(float(each.grad.abs().max()) for each in model.parameters() if each.grad is not None)
    token_losses(model, row).sum().backward()
    alone = max(float(each.grad.abs().max()) for each in model.parameters() if each.grad is not None)
    assert moved < 1e-4 * alone
    assert all(each.grad is None for each in reference.parameters())
