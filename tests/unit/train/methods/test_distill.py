import pytest
import torch
from tiny import CONFIGS, build, conversations

from agentray.mix.packing import pack
from agentray.train.methods.distill import Distill, distilled_losses
from agentray.train.model import target_logits, token_losses


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


def test_general_rows_alone_follow_the_base():
    model, base = build(CONFIGS[0]), build(CONFIGS[0])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    (row,) = pack(conversations(0), 4096)
    method = Distill(Distill.Settings(share=1.0, temperature=0.5))
    method.prepare(model, lambda: base)
    text, plain = method.loss(model, row, general=False)
    torch.testing.assert_close(text, token_losses(model, row))
    soft, same = method.loss(model, row, general=True)
    torch.testing.assert_close(soft, distilled_losses(model, base, row, 1.0, 0.5)[0])
    torch.testing.assert_close(same, plain)
    assert not torch.allclose(soft, text) and not plain.requires_grad
    assert not any(each.requires_grad for each in base.parameters())
