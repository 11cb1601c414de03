"""Training against the plain model, on tiny random models of many architectures.

Weights are scaled up, so that attention and logits are not flat, as in a trained model.
"""

import dataclasses
import functools

import numpy as np
import pytest
import torch
import transformers as tf

from agentray.errors import DataError
from agentray.mix.packing import Segment, pack
from agentray.mix.samples import Sample
from agentray.train import attention, parity
from agentray.train.attention import ATTENTION, Scores, packed_attention
from agentray.train.model import load, token_losses

CPU = torch.device("cpu")
BASE = {"vocab_size": 97, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SIZE = BASE | {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
HEADS = SIZE | {"head_dim": 16}
WINDOW = {"sliding_window": 32}
MIXED = WINDOW | {"layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
LINEAR = {
    "linear_num_value_heads": 2,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
}
CAPS = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 10.0}
FACTORS = {"logits_scaling": 8.0, "attention_multiplier": 0.1, "embedding_multiplier": 2.0}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
    "original_max_position_embeddings": 64,
}
CHUNKS = {"attention_chunk_size": 32, "num_local_experts": 2, "intermediate_size_mlp": 96}
JAMBA = {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "use_mamba_kernels": False}
PACKED = {
    "llama": lambda: tf.LlamaConfig(**SIZE, tie_word_embeddings=True),
    "qwen2": lambda: tf.Qwen2Config(**SIZE),
    "qwen2-window": lambda: tf.Qwen2Config(**SIZE, **MIXED, use_sliding_window=True),
    "qwen3": lambda: tf.Qwen3Config(**HEADS),
    "qwen3-moe": lambda: tf.Qwen3MoeConfig(**HEADS, **EXPERTS, num_experts=4),
    "mistral": lambda: tf.MistralConfig(**SIZE, **WINDOW),
    "mixtral": lambda: tf.MixtralConfig(**SIZE, num_local_experts=4),
    "phi3": lambda: tf.Phi3Config(**SIZE, **WINDOW),
    "gemma2": lambda: tf.Gemma2Config(**HEADS, **MIXED, **CAPS),
    "gemma3": lambda: tf.Gemma3TextConfig(**HEADS, **MIXED),
    "granite": lambda: tf.GraniteConfig(**SIZE, **FACTORS),
    "cohere": lambda: tf.CohereConfig(**SIZE, logit_scale=0.0625),
    "cohere2": lambda: tf.Cohere2Config(**SIZE, **MIXED, logit_scale=0.0625),
    "gpt-oss": lambda: tf.GptOssConfig(**HEADS, **MIXED, num_local_experts=4, num_experts_per_tok=2),
    "olmo": lambda: tf.OlmoConfig(**SIZE),
    "olmo2": lambda: tf.Olmo2Config(**SIZE),
    "olmo3": lambda: tf.Olmo3Config(**SIZE, **MIXED),
    "starcoder2": lambda: tf.Starcoder2Config(**SIZE, **WINDOW),
    "smollm3": lambda: tf.SmolLM3Config(**SIZE, no_rope_layers=[1, 0]),
    "deepseek-v3": lambda: tf.DeepseekV3Config(**(SIZE | EXPERTS | LATENT)),
    "gpt2": lambda: tf.GPT2Config(**BASE, n_embd=64, n_layer=2, n_head=4, n_positions=512),
}
ALONE = {
    "lfm2": lambda: tf.Lfm2Config(**SIZE, layer_types=["conv", "full_attention"]),
    "qwen3-next": lambda: tf.Qwen3NextConfig(
        **HEADS, **EXPERTS, **LINEAR, num_experts=4, shared_expert_intermediate_size=32
    ),
    "llama4-chunks": lambda: tf.Llama4TextConfig(**HEADS, **CHUNKS, no_rope_layers=[1, 0]),
    "phi3-longrope": lambda: tf.Phi3Config(
        **(SIZE | {"max_position_embeddings": 256}),
        original_max_position_embeddings=64,
        rope_parameters=LONG_ROPE,
    ),
    "stablelm": lambda: tf.StableLmConfig(**SIZE),  # passes no `segments` on
    "falcon-alibi": lambda: tf.FalconConfig(**SIZE, alibi=True, multi_query=True),
    "bloom": lambda: tf.BloomConfig(**BASE, hidden_size=64, n_layer=2, n_head=4),
    "mamba": lambda: tf.MambaConfig(**BASE, hidden_size=64, num_hidden_layers=2, state_size=8),
    "jamba": lambda: tf.JambaConfig(**SIZE, **JAMBA, mamba_d_state=8),
}


@pytest.fixture(autouse=True)
def one_thread():
    """These matrices are too small to share: on busy cores, threads wait longer for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sources():
    """Two sources, one whose samples share 40 tokens."""
    rng = np.random.default_rng(1)
    prefix = rng.integers(3, 97, 40)

    def sample(length, shared):
        ids = np.concatenate([prefix[:shared], rng.integers(3, 97, length)]).astype(np.int32)
        return Sample(ids, np.arange(len(ids)) > shared, shared)

    return [[sample(150, 40), sample(120, 40)], [sample(70, 0), sample(90, 0)]]


def saved(config, directory, scale=8.0):
    """A random model whose weights make a difference."""
    torch.manual_seed(0)
    model = tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
            elif "sinks" in name:
                parameter.normal_()
    model.save_pretrained(directory)
    return str(directory)


def gradients(model, losses):
    losses.sum().backward()
    return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


def plain_gradients(directory, samples):
    """Gradient of the sum of all losses, sample by sample through the plain model."""
    model = load(directory, torch.float32, "eager")
    losses = []
    for sample in samples:
        ids = torch.from_numpy(sample.input_ids).long()
        logits = model(ids[None]).logits[0, :-1]
        each = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
        losses.append(each[torch.from_numpy(sample.loss_mask[1:])])
    return gradients(model, torch.cat(losses))


def check_gradients(directory, found):
    samples = parity.probe(sources(), [32])
    expected = plain_gradients(directory, samples)
    model = load(directory, torch.float32, found.attention)
    rows = pack(samples, 1000, alone=not found.packed)
    mine = gradients(model, torch.cat([token_losses(model, row) for row in rows]))
    assert mine.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (mine[name] - gradient).norm() <= 1e-3 * gradient.norm() + 1e-3, name


@pytest.mark.parametrize("name", PACKED)
def test_packed_losses_and_gradients_equal_those_of_the_plain_model(name, tmp_path):
    directory = saved(PACKED[name](), tmp_path)
    found = parity.check(directory, sources(), CPU)
    assert found.packed and found.attention == ATTENTION and found.reason is None
    assert found.max_difference < found.tolerance / 10
    check_gradients(directory, found)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ALONE)
def test_a_model_that_cannot_be_packed_gets_one_sample_a_row(name, tmp_path):
    directory = saved(ALONE[name](), tmp_path)
    found = parity.check(directory, sources(), CPU)
    assert not found.packed and found.attention != ATTENTION
    assert found.reason.startswith("packed: ")
    assert found.max_difference < found.tolerance / 10
    check_gradients(directory, found)


@pytest.mark.parametrize("name", ["lfm2", "jamba", "qwen3-next", "llama"])
def test_a_neighbour_is_seen_also_where_predictions_are_nearly_flat(name, tmp_path):
    config = (PACKED | ALONE)[name]()
    assert parity.check(saved(config, tmp_path, scale=1.0), sources(), CPU).packed == (name == "llama")


@pytest.mark.parametrize(
    ("name", "field"),
    [("mistral", "window"), ("gemma2", "softcap"), ("gpt-oss", "sinks"), ("phi3", "window")],
)
def test_what_attention_ignores_is_seen(name, field, tmp_path, monkeypatch):
    directory = saved(PACKED[name](), tmp_path)

    def ignoring(query, key, value, scores, attend=attention._attend_by_chunks):
        assert getattr(scores, field) is not None
        return attend(query, key, value, dataclasses.replace(scores, **{field: None}))

    monkeypatch.setattr(attention, "_attend_by_chunks", ignoring)
    found = parity.check(directory, sources(), CPU)
    assert not found.packed
    difference = found.reason.partition(";")[0].removeprefix("packed: losses differ by up to ")
    assert float(difference) > 20 * found.tolerance


def test_training_is_refused_with_the_numbers_when_no_way_is_right(tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "token_losses", lambda model, row: token_losses(model, row) + 0.25)
    with pytest.raises(DataError, match="would not compute the loss") as caught:
        parity.check(saved(PACKED["llama"](), tmp_path), sources(), CPU)
    assert caught.value.why.count("differ by up to 0.25") == 3


def test_of_a_large_model_the_first_layers_of_each_type_are_checked(tmp_path, monkeypatch):
    kinds = ["sliding_attention"] * 5 + ["full_attention"] + ["sliding_attention"] * 2
    config = tf.Gemma3TextConfig(**(HEADS | WINDOW | {"num_hidden_layers": 8, "layer_types": kinds}))
    assert parity.shallow(config) is config
    monkeypatch.setattr(parity, "_WHOLE", 0)
    small = parity.shallow(config)
    assert small.num_hidden_layers == 6 and small.layer_types == kinds[:6]
    assert config.num_hidden_layers == 8
    assert parity.check(saved(config, tmp_path), sources(), CPU).packed


def test_probes_are_short_but_exceed_a_window_that_the_corpus_exceeds():
    lengths = [
        [len(each.input_ids) for each in parity.probe(sources(), limits)] for limits in ([], [170], [500])
    ]
    assert lengths[0] == lengths[2] == [64, 56, 48, 40]
    assert lengths[1][0] > 170 and lengths[1][-1] < 170
    first, second, *_ = parity.probe(sources(), [])
    assert first.prefix_length == second.prefix_length == 24
    assert (first.input_ids[:24] == second.input_ids[:24]).all()
    assert len(parity.probe([[sources()[1][0]]], [])) == 2


@functools.cache
def states(length, total):
    torch.manual_seed(length)
    return [torch.randn(1, heads, size, 8) for heads, size in ((4, length), (2, total), (2, total))]


@pytest.mark.parametrize("window", [None, 1, 7, 64, 150, 1000])
@pytest.mark.parametrize(("length", "total"), [(300, 300), (200, 290), (5, 90)])
def test_both_ways_to_attend_agree(length, total, window):
    query, key, value = states(length, total)
    mine = attention._attend_by_chunks(query, key, value, Scores(window))
    torch.testing.assert_close(mine, attention._attend_fused(query, key, value, Scores(window)))


def test_dropout_is_honoured():
    query, key, _ = states(200, 290)
    for attend in (attention._attend_by_chunks, attention._attend_fused):
        dropped = attend(query, key, torch.ones_like(key), Scores(dropout=0.5))
        assert dropped.std() > 0.01 and dropped.mean() == pytest.approx(1, abs=0.05)


def test_a_row_without_its_segments_is_never_attended_to():
    query, key, value = states(300, 300)
    with pytest.raises(RuntimeError, match="segments"):
        packed_attention(None, query, key, value, None)
    out, _ = packed_attention(None, query, key, value, None, segments=(Segment(0, 300),))
    assert out.shape == (1, 300, 4, 8)
