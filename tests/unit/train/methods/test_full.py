import pytest
from tiny import CONFIGS, build, conversations
from transformers import GPT2Config

from agentray.errors import UsageError
from agentray.mix.packing import pack
from agentray.train.methods.full import Full, freeze
from agentray.train.model import token_losses


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_frozen_layers_get_no_gradient_and_the_rest_the_same_one(config):
    samples = conversations(20)
    whole, part = build(config), build(config)
    freeze(part, 1)
    for model in (whole, part):
        for row in pack(samples, 512):
            token_losses(model, row).sum().backward()
    gradients = dict(whole.named_parameters())
    trained = [name for name, each in part.named_parameters() if each.requires_grad]
    assert any("layers.1" in name for name in trained)
    assert not any("layers.0" in name or "embed" in name for name in trained)
    for name, parameter in part.named_parameters():
        assert (parameter.grad is not None) == (name in trained)
        if name in trained:
            assert (parameter.grad - gradients[name].grad).abs().max() < 1e-5


def test_positions_that_come_before_frozen_layers_are_frozen_too():
    model = build(GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=2, n_positions=64))
    freeze(model, 1)
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    assert trained and all(name.startswith(("transformer.h.1.", "transformer.ln_f.")) for name in trained)


def test_freezing_every_layer_is_refused(tmp_path):
    CONFIGS[0].save_pretrained(tmp_path)
    Full(Full.Settings(frozen_layers=1)).check(str(tmp_path))
    with pytest.raises(UsageError, match="frozen_layers is 2"):
        Full(Full.Settings(frozen_layers=2)).check(str(tmp_path))


class Engine:
    """Notes what weights are moved to."""

    moved = None

    def interpolate(self, base, share):
        self.moved = (base, share)


def test_the_end_moves_the_weights_towards_the_base_only_where_that_is_asked_for():
    loaded, engine = build(CONFIGS[0]), Engine()
    for share in (1.0, 0.25):
        method = Full(Full.Settings(interpolation=share))
        method.prepare(build(CONFIGS[0]), lambda: loaded)
        method.after(engine)
        assert (engine.moved is None) == (share == 1.0)
    assert engine.moved[1] == 0.25
    assert engine.moved[0].keys() == loaded.state_dict().keys()
