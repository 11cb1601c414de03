"""The training loop on a tiny model, without Ray and DeepSpeed."""

from typing import ClassVar

import pytest
import torch
from fakes import byte_tokenizer
from safetensors.torch import load_file
from training import Engine, Worker, base, config, corpus

from agentray.errors import UsageError
from agentray.mix.packing import pack
from agentray.train import failure
from agentray.train.batches import Batches, Layout
from agentray.train.loop import Training
from agentray.train.methods import Method, build
from agentray.train.metrics import METRICS, read_metrics
from agentray.train.model import token_losses


def training(settings, *, method=None, world=1, data=None, packed=True, engine=Engine):
    method = method or build(settings.method)
    model = base()
    method.prepare(model, base)
    worker = Worker(settings.out / "checkpoints", world=world)
    layout = Layout(packed, method.sides_apart)
    batches = Batches(settings, data or corpus(), layout, worker.rank, world)
    settings.out.mkdir(exist_ok=True)
    return Training(settings, batches, engine(model, method), method, worker, byte_tokenizer)


def logged(out):
    return read_metrics(out / METRICS)


def weights(out):
    return load_file(out / "model" / "model.safetensors")


def test_a_run_lowers_the_loss_logs_every_step_and_leaves_a_model(tmp_path):
    settings = config(tmp_path / "run", num_steps=6)
    run = training(settings)
    run.run()
    steps = logged(settings.out)
    assert [each["step"] for each in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert set(steps[0]["validation_before"]) == set(steps[-1]["validation_after"]) == {"chat"}
    assert set(steps[0]["loss_by_source"]) == {"game", "chat"}
    assert not any("validation" in each for each in steps)
    before = base().state_dict()
    moved = [name for name, value in weights(settings.out).items() if not torch.equal(value, before[name])]
    assert moved and weights(settings.out)[moved[0]].dtype == torch.bfloat16


class Stopped(Engine):
    """Ends the run at its first step, and keeps the gradient."""

    gradient: ClassVar[dict[str, torch.Tensor]] = {}

    def step(self, learning_rate):
        self.gradient.update({name: each.grad for name, each in self.model.named_parameters()})
        raise StopIteration


@pytest.mark.parametrize("row_tokens", [64, 4096])
def test_a_step_s_gradient_is_that_of_the_mean_over_all_its_targets(tmp_path, row_tokens):
    settings = config(tmp_path / "run", num_steps=1, row_tokens=row_tokens)
    with pytest.raises(StopIteration):
        training(settings, data=corpus(validation=0), engine=Stopped).run()
    names = ["game", "chat"] * 2
    drawn = [corpus().training[name][row] for name, row in zip(names, [0, 0, 1, 1], strict=True)]
    model = base()
    losses = torch.cat([token_losses(model, row) for row in pack(drawn, 4096)])
    losses.mean().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(Stopped.gradient[name], parameter.grad, rtol=1e-3, atol=1e-6)


def test_validation_every_few_steps_is_logged_with_them(tmp_path):
    settings = config(tmp_path / "run", num_steps=5, validate_every=2)
    training(settings).run()
    steps = logged(settings.out)
    assert [each["step"] for each in steps if "validation" in each] == [2, 4]
    assert steps[3]["validation"]["chat"] != steps[1]["validation"]["chat"]


class Fire(Method):
    """Fails once, in its second step."""

    burnt = False

    def loss(self, model, row, general):
        if self.step == 2 and not self.burnt:
            self.burnt = True
            raise RuntimeError("the machine caught fire")
        return super().loss(model, row, general)

    def penalty(self, model):
        self.step += 1
        return None

    step = 0


@pytest.mark.parametrize("checkpoint_every", [None, 1])
def test_a_failed_run_goes_on_as_if_it_had_not_failed(tmp_path, checkpoint_every):
    whole = config(tmp_path / "whole", num_steps=4)
    training(whole).run()
    broken = config(tmp_path / "broken", num_steps=4, checkpoint_every=checkpoint_every)
    with pytest.raises(RuntimeError, match="fire"):
        training(broken, method=Fire(Method.Settings())).run()
    kept = failure.read(broken.out)
    assert kept.step == 2 and "the same command goes on" in kept.fix and not kept.final
    training(broken).run()
    assert [each["step"] for each in logged(broken.out)] == [1, 2, 3, 4]
    assert [each["loss"] for each in logged(broken.out)] == [each["loss"] for each in logged(whole.out)]
    for name, value in weights(whole.out).items():
        assert torch.equal(weights(broken.out)[name], value)


def test_one_of_several_workers_that_fails_keeps_the_model_alone(tmp_path):
    settings = config(tmp_path / "run")
    with pytest.raises(RuntimeError, match="fire"):
        training(settings, method=Fire(Method.Settings()), world=2).run()
    assert "model-step-2" in failure.read(settings.out).fix
    assert (settings.out / "model-step-2" / "tokenizer.json").exists()
    assert not (settings.out / "checkpoints").exists()
    settings = config(tmp_path / "sharded", zero_stage=3)
    with pytest.raises(RuntimeError, match="fire"):
        training(settings, method=Fire(Method.Settings()), world=2).run()
    assert failure.read(settings.out) is None  # it holds a part of the weights only


def test_a_finished_run_goes_on_to_more_steps_as_if_it_had_never_ended(tmp_path):
    whole = config(tmp_path / "whole", num_steps=6, validate_every=3)
    training(whole).run()
    how = {"schedule_steps": 6, "validate_every": 3}
    for num_steps in (3, 6):
        part = config(tmp_path / "part", num_steps=num_steps, **how)
        training(part).run()
    steps = [{**each, "tokens_per_s": 0} for each in logged(part.out)]
    assert steps == [{**each, "tokens_per_s": 0} for each in logged(whole.out)]
    for name, value in weights(whole.out).items():
        assert torch.equal(weights(part.out)[name], value)
    with pytest.raises(UsageError, match="cannot go on to step 2"):
        training(config(part.out, num_steps=2, **how)).run()


class Ending(Method):
    """Has an end of its own, and an export that fails once."""

    ends, exported = 0, True

    def after(self, engine):
        self.ends += 1

    def export(self, model, weights, directory):
        if not self.exported:
            raise OSError("no space left on device")
        super().export(model, weights, directory)


def test_a_method_s_end_comes_once_though_the_export_after_it_failed(tmp_path):
    settings = config(tmp_path / "run", num_steps=2)
    method = Ending(Method.Settings())
    method.exported = False
    with pytest.raises(OSError, match="no space"):
        training(settings, method=method).run()
    before = logged(settings.out)
    method.exported = True
    longer = config(settings.out, num_steps=3, schedule_steps=2)
    with pytest.raises(UsageError, match="the end of a run of 2 steps"):
        training(longer, method=method).run()
    training(settings, method=method).run()
    assert method.ends == 1 and logged(settings.out) == before
    assert (settings.out / "model" / "config.json").exists()


class Sides(Method):
    """Notes which rows are general, and penalizes the weights."""

    def __init__(self, apart):
        super().__init__(self.Settings())
        self.sides_apart, self.seen, self.penalties = apart, [], 0

    def loss(self, model, row, general):
        if model.training:
            self.seen.append(general)
        return super().loss(model, row, general)

    def penalty(self, model):
        self.penalties += 1
        return sum(each.pow(2).sum() for each in model.parameters())


@pytest.mark.parametrize("packed", [True, False])
def test_a_method_is_told_which_rows_are_general_where_it_wants_them_apart(tmp_path, packed):
    for apart, expected in ((False, {False}), (True, {False, True})):
        method = Sides(apart)
        settings = config(tmp_path / f"{apart}", num_steps=2)
        training(settings, method=method, packed=packed).run()
        assert set(method.seen) == expected
        assert method.penalties == 2  # one per step, however many rows it has


def test_a_penalty_shrinks_the_weights(tmp_path):
    size = {}
    for name, method in (("plain", Method(Method.Settings())), ("small", Sides(False))):
        settings = config(tmp_path / name, num_steps=4)
        training(settings, method=method).run()
        size[name] = sum(float(each.float().pow(2).sum()) for each in weights(settings.out).values())
    assert size["small"] < 0.9 * size["plain"]


def test_interpolation_ends_between_the_base_and_the_trained_weights(tmp_path):
    found = {}
    for share in (1.0, 0.5):
        settings = config(tmp_path / f"{share}", num_steps=3, method={"interpolation": share})
        training(settings).run()
        found[share] = weights(settings.out)
    for name, start in base().state_dict().items():
        if name in found[1.0]:
            expected = (start + found[1.0][name].float()) / 2
            torch.testing.assert_close(found[0.5][name].float(), expected, atol=2e-3, rtol=1e-2)
