"""What is refused before Ray starts."""

import json
from pathlib import Path

import numpy as np
import pytest
import transformers as tf
from tiny import SIZE

from agentray.chat.loading import fingerprint
from agentray.errors import DataError, ResourceError, UsageError
from agentray.mix.corpus import Corpus
from agentray.mix.samples import Sample
from agentray.train import export, failure
from agentray.train.checks import check_corpus


class Tokenizer:
    """A tokenizer of 100 tokens, three more than the tiny models have embeddings for."""

    def get_vocab(self):
        return {str(index): index for index in range(100)}

    def __len__(self):
        return 100

    def save_pretrained(self, directory):
        (Path(directory) / "tokenizer.json").write_text("{}")


def corpus(length=50, largest=96, tokenizer=None):
    ids = np.arange(length, dtype=np.int32) % 90
    ids[0] = largest
    sample = Sample(ids, np.arange(length) > 3)
    return Corpus(
        training={"chats": [sample, Sample(ids[:9] * 0, np.arange(9) > 3)]},
        validation={},
        agent=(),
        weights={"chats": 1.0},
        eta=0.0,
        seed=0,
        tokenizer=tokenizer or fingerprint(Tokenizer()),
    )


@pytest.fixture
def model(tmp_path):
    tf.LlamaConfig(**SIZE).save_pretrained(tmp_path)
    return str(tmp_path)


def test_a_corpus_that_fits_passes(model):
    check_corpus(corpus(512), Path("mix"), model, Tokenizer())


def test_a_corpus_of_another_tokenizer_is_refused(model):
    with pytest.raises(UsageError, match="mixed for another tokenizer") as caught:
        check_corpus(corpus(tokenizer="0123"), Path("mix"), model, Tokenizer())
    assert "0123" in caught.value.why and model in caught.value.fix


def test_a_token_without_an_embedding_is_refused_where_a_sample_has_it(model):
    with pytest.raises(DataError, match="1 samples hold tokens") as caught:
        check_corpus(corpus(largest=99), Path("mix"), model, Tokenizer())
    assert "the tokenizer has 100 tokens, the model 97 embeddings" in caught.value.why


def test_samples_longer_than_the_context_are_refused_also_where_it_has_another_name(model, tmp_path):
    with pytest.raises(DataError, match="1 of 2 samples") as caught:
        check_corpus(corpus(513), Path("mix"), model, Tokenizer())
    assert "513 tokens, the model takes 512" in caught.value.why
    gpt2 = tf.GPT2Config(vocab_size=97, n_embd=32, n_layer=1, n_head=2, n_positions=40)
    gpt2.save_pretrained(tmp_path / "gpt2")
    with pytest.raises(DataError, match="the model takes 40"):
        check_corpus(corpus(), Path("mix"), str(tmp_path / "gpt2"), Tokenizer())


REFUSED = '{"do_sample": false,  "temperature": 0.6}'
"""Generation settings that `transformers` loads and refuses to save."""


def test_generation_settings_are_saved_byte_for_byte(tmp_path):
    base, out = tmp_path / "base", tmp_path / "out"
    made = tf.AutoModelForCausalLM.from_config(tf.LlamaConfig(**SIZE))
    made.save_pretrained(base)
    (base / "generation_config.json").write_text(REFUSED)
    out.mkdir()
    export.rehearse(str(base), Tokenizer(), out)
    assert not list(out.iterdir())
    model = tf.AutoModelForCausalLM.from_pretrained(base)
    export.write_model(model, model.state_dict(), out / "model")
    assert (out / "model" / "generation_config.json").read_text() == REFUSED
    assert json.loads((out / "model" / "config.json").read_text())["dtype"] == "bfloat16"
    back = tf.AutoModelForCausalLM.from_pretrained(out / "model")
    assert back.num_parameters() == made.num_parameters()


def test_what_cannot_be_saved_is_refused_before_training(model, tmp_path, monkeypatch):
    tokenizer = Tokenizer()
    tokenizer.save_pretrained = lambda directory: 1 / 0
    with pytest.raises(DataError, match="could not be saved") as caught:
        export.rehearse(model, tokenizer, tmp_path)
    assert "ZeroDivisionError" in caught.value.why
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(ResourceError, match="0 MiB are free"):
        export.rehearse(model, Tokenizer(), tmp_path)


def test_the_first_failure_of_a_step_and_any_final_one_are_kept(tmp_path):
    assert failure.read(tmp_path) is None
    failure.record(tmp_path, failure.after_steps(RuntimeError("fire"), 5, "on disk"))
    failure.record(tmp_path, failure.after_steps(RuntimeError("a neighbour died"), 5, "on disk"))
    error = failure.read(tmp_path).error()
    assert isinstance(error, ResourceError) and error.what == "training failed after step 5"
    assert error.why == "RuntimeError: fire" and "on disk" in error.fix
    failure.record(tmp_path, failure.final(DataError("a", "b", "c")))
    assert failure.read(tmp_path).final and str(failure.read(tmp_path).error()) == str(
        DataError("a", "b", "c")
    )
    failure.clear(tmp_path)
    assert failure.read(tmp_path) is None
