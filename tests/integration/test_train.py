"""The mix and train stages on a real local Ray with DeepSpeed, on a tiny model."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from agentray.config import (
    FilterConfig,
    MixConfig,
    OptimizerConfig,
    RolloutConfig,
    TemplateConfig,
    TrainConfig,
)
from agentray.errors import DataError, ResourceError, UsageError
from agentray.mix.corpus import read_corpus
from agentray.mix.run import run as mix
from agentray.rollout.run import run as rollout
from agentray.train import metrics
from agentray.train.run import run as train
from agentray.transforms.filtering import run as filter_run

pytestmark = [pytest.mark.ray, pytest.mark.deepspeed, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def corpus(local_ray, tiny_model, tmp_path_factory):
    """A tokenized corpus: counting games, and a few chats."""
    root = tmp_path_factory.mktemp("corpus")
    rollout(RolloutConfig(envs=["count"], out=root / "rollout", num_tasks=30))
    filter_run(FilterConfig(runs=[root / "rollout"], out=root / "filter"))
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"Hi {i}"},
                {"role": "assistant", "content": "Hello! " * i},
            ]
        }
        for i in range(1, 21)
    ]
    (root / "chats.jsonl").write_text("\n".join(json.dumps(each) for each in chats))
    summary = mix(
        MixConfig(
            agent=[root / "filter"],
            general=[root / "chats.jsonl"],
            out=root / "mix",
            model=tiny_model,
            eta=0.5,
        )
    )
    assert summary.training == {"count": 30, "chats": 18} and summary.validation == {"chats": 2}
    assert summary.realised["count"] == pytest.approx(0.5, abs=0.02)
    return root / "mix"


def run(corpus, tiny_model, out, **changes):
    settings = {
        "data": corpus,
        "model": tiny_model,
        "out": out,
        "num_steps": 6,
        "batch_size": 4,
        "precision": "float32",
        "zero_stage": 0,
        "optimizer": OptimizerConfig(learning_rate=1e-2),
    }
    return train(TrainConfig(**(settings | changes)))


def weights(out):
    return load_file(out / "model" / "model.safetensors")


def losses(out):
    return [each["loss"] for each in metrics.read_metrics(out / "metrics.jsonl")]


@pytest.fixture(scope="module")
def reference(corpus, tiny_model, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "run"
    return run(corpus, tiny_model, out), out


def test_training_lowers_the_loss_and_leaves_a_model_that_loads(reference):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    summary, out = reference
    assert summary.last_loss < summary.first_loss
    assert summary.parity["packed"] and summary.parity["max_difference"] < 1e-4
    assert set(summary.validation_before) == set(summary.validation_after) == {"chats"}
    assert AutoModelForCausalLM.from_pretrained(out / "model").dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(out / "model").chat_template
    card = json.loads((out / "model" / "agentray.json").read_text())
    assert card["eta"] == 0.5 and card["checkpoint"] == "step-6"


def test_a_finished_run_is_not_made_again(reference, corpus, tiny_model):
    summary, out = reference
    assert run(corpus, tiny_model, out) == summary
    with pytest.raises(UsageError, match="holds another run"):
        run(corpus, tiny_model, out, num_steps=7)


def test_a_run_belongs_to_a_mixture_wherever_that_lies(reference, corpus, tiny_model, tmp_path):
    summary, out = reference
    moved = shutil.copytree(corpus, tmp_path / "moved")
    assert run(moved, tiny_model, out) == summary
    mixture = json.loads((moved / "mixture.json").read_text())
    (moved / "mixture.json").write_text(json.dumps({**mixture, "eta": 0.25}))
    with pytest.raises(UsageError, match="holds another run") as caught:
        run(moved, tiny_model, out)
    assert "mixture" in caught.value.why


def test_a_run_that_made_no_step_may_begin_with_other_settings(corpus, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("agentray.train.run._fit", lambda config, model: None)
    for num_steps in (7, 8):
        with pytest.raises(ResourceError, match="before its last step"):
            run(corpus, tiny_model, tmp_path, num_steps=num_steps)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(UsageError, match="schedule_steps: 8 there, 9 here"):
        run(corpus, tiny_model, tmp_path, num_steps=9)


def test_a_finished_run_goes_on_to_more_steps(reference, corpus, tiny_model, tmp_path):
    how = {"schedule_steps": 6, "validate_every": 2}
    part = run(corpus, tiny_model, tmp_path, num_steps=3, **how)
    assert part.num_steps == 3 and run(corpus, tiny_model, tmp_path, num_steps=3, **how) == part
    whole = run(corpus, tiny_model, tmp_path, num_steps=6, **how)
    assert losses(tmp_path) == pytest.approx(losses(reference[1]), rel=1e-4)
    assert whole.validation_after["chats"] == pytest.approx(reference[0].validation_after["chats"], rel=1e-3)
    logged = metrics.read_metrics(tmp_path / "metrics.jsonl")
    assert [each["step"] for each in logged if "validation" in each] == [2, 4, 6]
    with pytest.raises(UsageError, match="holds a longer run"):
        run(corpus, tiny_model, tmp_path, num_steps=3, **how)


def test_the_output_of_another_stage_is_no_run(corpus, tiny_model):
    with pytest.raises(UsageError, match="another stage"):
        run(corpus, tiny_model, corpus)


def test_two_workers_take_the_same_steps_as_one(reference, corpus, tiny_model, tmp_path):
    run(corpus, tiny_model, tmp_path / "two", num_workers=2)
    assert losses(tmp_path / "two") == pytest.approx(losses(reference[1]), rel=1e-3)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_every_zero_stage_trains_alike_in_bfloat16(stage, reference, corpus, tiny_model, tmp_path):
    run(corpus, tiny_model, tmp_path / "run", zero_stage=stage, num_workers=2, precision="bfloat16")
    assert losses(tmp_path / "run") == pytest.approx(losses(reference[1]), rel=0.05)


@pytest.fixture(scope="module")
def whole(reference, corpus, tiny_model, tmp_path_factory):
    """Runs by precision that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "bfloat16"
    run(corpus, tiny_model, out, precision="bfloat16", zero_stage=1)
    return {"float32": reference[1], "bfloat16": out}


@pytest.mark.parametrize(
    ("stage", "precision", "num_workers"),
    [
        (0, "float32", 1),
        (1, "float32", 2),
        (2, "float32", 1),
        (3, "float32", 1),
        (0, "bfloat16", 1),
        (1, "bfloat16", 1),
        (2, "bfloat16", 1),
    ],
)
def test_a_run_that_died_resumes_as_if_it_had_not(
    stage, precision, num_workers, whole, corpus, tiny_model, tmp_path, monkeypatch
):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    mark, out = tmp_path / "died", tmp_path / "broken"
    how = {"zero_stage": stage, "precision": precision, "num_workers": num_workers, "checkpoint_every": 2}
    monkeypatch.setattr("agentray.train.run.train_loop", dying_loop(str(mark)))
    summary = run(corpus, tiny_model, out, **how)
    assert mark.exists() and not (out / "failure.json").exists()
    steps = [each["step"] for each in metrics.read_metrics(out / "metrics.jsonl")]
    assert steps == [1, 2, 3, 4, 5, 6] and summary.validation_before and summary.validation_after
    close = {"rel": 1e-4 if num_workers == 1 else 1e-3}
    assert losses(out) == pytest.approx(losses(whole[precision]), **close)
    expected, found = weights(whole[precision]), weights(out)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0.02, atol=1e-3)
    if num_workers > 1:  # no worker waits for the one that died: that one keeps the model alone
        assert AutoModelForCausalLM.from_pretrained(out / "model-step-5")
        assert AutoTokenizer.from_pretrained(out / "model-step-5").chat_template


def dying_loop(mark):
    """The training loop, whose first worker dies after its fifth step."""

    def wrapped(settings):
        import os

        from agentray.train import loop as inner
        from agentray.train import worker

        original = inner.Training._step

        def step(self, number):
            if number == 5 and not os.path.exists(mark):
                open(mark, "w").close()
                raise RuntimeError("the machine caught fire")
            return original(self, number)

        inner.Training._step = step
        worker.train_loop(settings)

    return wrapped


REFUSED = '{"do_sample": false, "temperature": 0.6}'
"""Generation settings that `transformers` loads and refuses to save."""


def test_a_failure_after_the_last_step_costs_no_step(corpus, tiny_model, tmp_path, monkeypatch):
    model, out = shutil.copytree(tiny_model, tmp_path / "model"), tmp_path / "run"
    (model / "generation_config.json").write_text(REFUSED)
    how = {"num_steps": 3, "method": {"interpolation": 0.5}, "zero_stage": 1}
    expected = run(corpus, str(model), tmp_path / "expected", **how)
    assert (tmp_path / "expected" / "model" / "generation_config.json").read_text() == REFUSED

    def failing(settings):
        from agentray.train import worker
        from agentray.train.methods import base

        def write_model(*args):
            raise OSError("no space left on device")

        base.write_model = write_model
        worker.train_loop(settings)

    with (
        monkeypatch.context() as patched,
        pytest.raises(ResourceError, match="failed after step 3") as caught,
    ):
        patched.setattr("agentray.train.run.train_loop", failing)
        run(corpus, str(model), out, **how)
    assert "no space left" in caught.value.why and "the same command goes on" in caught.value.fix
    before = (out / "metrics.jsonl").read_text()
    found = run(corpus, str(model), out, **how)
    assert (out / "metrics.jsonl").read_text() == before
    assert found.validation_after == expected.validation_after
    for name, value in weights(tmp_path / "expected").items():
        torch.testing.assert_close(weights(out)[name], value)


def test_a_loss_that_is_not_the_model_s_own_is_refused_once(corpus, tiny_model, tmp_path, monkeypatch):
    starts = tmp_path / "starts"

    def strict(settings):
        from agentray.train import worker as inner

        with open(starts, "a") as stream:
            stream.write("started\n")
        inner.parity.TOLERANCE = -1.0
        inner.train_loop(settings)

    with monkeypatch.context() as patched, pytest.raises(DataError, match="would not compute the loss"):
        patched.setattr("agentray.train.run.train_loop", strict)
        run(corpus, tiny_model, tmp_path / "run", num_workers=2)
    assert starts.read_text() == "started\n" * 2
    assert run(corpus, tiny_model, tmp_path / "run", num_workers=2, num_steps=1).parity["packed"]


def test_a_model_that_mixes_neighbours_trains_on_one_sample_a_row(corpus, tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer, Lfm2Config

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention"],
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "own.jinja").write_text(f"{{#- ours #}}{tokenizer.chat_template}")
    mixed = MixConfig(
        agent=[corpus.parent / "filter"],
        general=[corpus.parent / "chats.jsonl"],
        out=tmp_path / "mix",
        model=str(tmp_path / "model"),
        template=TemplateConfig(name=str(tmp_path / "own.jinja")),
    )
    mix(mixed)
    summary = run(tmp_path / "mix", mixed.model, tmp_path / "run", num_steps=2)
    tuned = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    assert tuned.chat_template == (tmp_path / "own.jinja").read_text()
    assert not summary.parity["packed"] and "packed: losses differ" in summary.parity["reason"]
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model", attn_implementation="eager")
    losses = []
    for sample in read_corpus(corpus).validation["chats"]:
        ids = torch.from_numpy(sample.input_ids).long()
        each = torch.nn.functional.cross_entropy(plain(ids[None]).logits[0, :-1], ids[1:], reduction="none")
        losses.append(each[torch.from_numpy(sample.loss_mask[1:])])
    expected = float(torch.cat(losses).detach().mean())
    assert summary.validation_before["chats"] == pytest.approx(expected, rel=1e-5)


def test_a_corpus_reads_back_as_it_was_written(corpus):
    read = read_corpus(corpus)
    assert read.agent == ("count",) and read.eta == 0.5
    assert len(read.training["count"]) == 30
    assert all(sample.prefix_length >= 16 for sample in read.training["count"])
    assert all(sample.loss_mask.any() for rows in read.training.values() for sample in rows)


@pytest.mark.parametrize(("stage", "num_workers"), [(0, 1), (3, 2)])
def test_interpolation_saves_a_model_between_the_base_and_the_trained_one(
    corpus, tiny_model, tmp_path, stage, num_workers
):
    shared = {"zero_stage": stage, "num_workers": num_workers, "num_steps": 3}
    whole = run(corpus, tiny_model, tmp_path / "whole", **shared)
    half = run(corpus, tiny_model, tmp_path / "half", method={"interpolation": 0.5}, **shared)
    weights = [load_file(f"{model}/model.safetensors") for model in (tiny_model, whole.model, half.model)]
    moved = 0.0
    for name, base in weights[0].items():
        trained, between = weights[1][name].float(), weights[2][name].float()
        expected = (base.float() + trained) / 2
        torch.testing.assert_close(between, expected, atol=2e-3, rtol=1e-2)
        moved = max(moved, float((trained - base.float()).abs().max()))
    assert moved > 0.01
    losses = [each.validation_after["chats"] for each in (whole, half)]
    assert losses[0] != losses[1] and half.validation_before == whole.validation_before


def test_distillation_keeps_the_model_nearer_to_where_it_was(corpus, tiny_model, tmp_path):
    plain = run(corpus, tiny_model, tmp_path / "plain", num_steps=12)
    kept = run(corpus, tiny_model, tmp_path / "kept", num_steps=12, method="distill")
    two = run(corpus, tiny_model, tmp_path / "two", num_steps=12, method="distill", num_workers=2)
    before = load_file(f"{tiny_model}/model.safetensors")

    def moved(summary):
        after = load_file(f"{summary.model}/model.safetensors")
        return sum(float((after[name].float() - before[name].float()).norm()) for name in before)

    assert moved(kept) < moved(plain)
    assert kept.validation_after["chats"] != plain.validation_after["chats"]
    assert two.validation_after["chats"] == pytest.approx(kept.validation_after["chats"], rel=1e-3)
