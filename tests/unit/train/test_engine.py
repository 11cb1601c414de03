"""The engine: what a method learns from a row in plain torch, and DeepSpeed's in one process."""

import pytest
import torch
from tiny import CONFIGS, build, conversations
from training import base, config

from agentray.mix.packing import pack
from agentray.train.engine import Engine, LossModel
from agentray.train.methods import Method
from agentray.train.methods.full import Full
from agentray.train.model import token_losses

ROWS = pack(conversations(20), 256)


class Doubled(Method):
    """Learns twice as fast from general rows, and keeps the weights small."""

    def loss(self, model, row, general):
        losses, plain = super().loss(model, row, general)
        return losses * (2.0 if general else 1.0), plain

    def penalty(self, model):
        return sum(each.pow(2).sum() for each in model.parameters())


def test_the_loss_is_the_method_s_scaled_and_its_penalty_comes_once_a_step():
    model = base()
    method = Doubled(Method.Settings())
    loss = LossModel(model, method)
    plain = token_losses(model, ROWS[0]).detach()
    for general, factor in ((False, 1.0), (True, 2.0)):
        found, losses = loss(ROWS[0], 0.5, general=general)
        torch.testing.assert_close(found, plain.sum() * 0.5 * factor)
        torch.testing.assert_close(losses, plain)
        assert not losses.requires_grad
    last, _ = loss(ROWS[0], 0.5, last=True)
    torch.testing.assert_close(last, plain.sum() * 0.5 + method.penalty(model))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A process group of this process only, as Ray Train makes one for its workers."""
    file = tmp_path_factory.mktemp("group") / "store"
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1"}.items():
            patched.setenv(name, value)
        torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=0, world_size=1)
        yield
        torch.distributed.destroy_process_group()


def engine(tmp_path, method=None, **changes):
    method = method or Full(Full.Settings())
    model = build(CONFIGS[0])
    settings = config(tmp_path, **changes)
    if settings.precision == "bfloat16":
        model = model.to(torch.bfloat16)
    method.prepare(model, base)
    return Engine(model, settings, method)


def step(trained, rate=1e-2):
    for index, row in enumerate(ROWS):
        trained.backward(row, 1e-3, last=index == len(ROWS) - 1)
    return trained.step(rate)


STAGES = [(0, "float32"), (1, "float32"), (2, "float32"), (3, "float32"), (1, "bfloat16"), (2, "bfloat16")]


@pytest.mark.deepspeed
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("alone")
class TestDeepSpeed:
    """One process; several are in tests/integration."""

    def test_a_step_is_plain_adam_s_on_the_gradient_of_all_rows(self, tmp_path):
        trained, sharded, model = engine(tmp_path, zero_stage=0), engine(tmp_path, zero_stage=1), base()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), weight_decay=0.0)
        for row in ROWS:
            (token_losses(model, row).sum() * 1e-3).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        assert step(trained) is None and step(sharded) == pytest.approx(float(norm), rel=1e-3)
        for name, value in trained.weights().items():
            torch.testing.assert_close(value, dict(model.named_parameters())[name].detach())
            torch.testing.assert_close(value, sharded.weights()[name])

    @pytest.mark.parametrize(("stage", "precision"), STAGES)
    def test_a_saved_engine_goes_on_as_the_one_that_was_not_saved(self, tmp_path, stage, precision):
        how = {"zero_stage": stage, "precision": precision}
        first = engine(tmp_path, **how)
        step(first)
        first.save(tmp_path, {"step": "1"}, write=True)
        second = engine(tmp_path, **how)
        second.load(tmp_path, 1)
        for name, value in first.weights().items():
            assert torch.equal(second.weights()[name], value)
        step(first), step(second)
        for name, value in first.weights().items():
            torch.testing.assert_close(second.weights()[name], value)

    def test_frozen_parameters_keep_their_values_and_are_saved_with_the_others(self, tmp_path):
        trained = engine(tmp_path, Full(Full.Settings(frozen_layers=1)))
        before = trained.weights()
        step(trained)
        moved = {name for name, value in trained.weights().items() if not torch.equal(value, before[name])}
        assert moved and not any("layers.0" in name or "embed" in name for name in moved)
        assert trained.weights().keys() == dict(base().named_parameters()).keys()

    @pytest.mark.parametrize("stage", [0, 3])
    def test_interpolation_moves_master_and_own_weights(self, tmp_path, stage):
        trained = engine(tmp_path, zero_stage=stage)
        step(trained)
        after, start = trained.weights(), base().state_dict()
        trained.interpolate(start, 0.25)
        for name, value in trained.weights().items():
            torch.testing.assert_close(value, torch.lerp(start[name], after[name], 0.25))

    def test_losses_leave_no_gradient(self, tmp_path):
        trained = engine(tmp_path)
        before = trained.weights()
        torch.testing.assert_close(trained.losses(ROWS[0]), token_losses(base(), ROWS[0]).detach())
        trained.backward(ROWS[0], 0.0, last=True)
        trained.step(1e-2)
        for name, value in trained.weights().items():
            assert torch.equal(value, before[name])
