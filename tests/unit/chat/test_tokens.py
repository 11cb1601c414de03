"""Text to ids: real SentencePiece vocabularies, normal forms, and control tokens that messages mention."""

import importlib.util
import json
from pathlib import Path

import pytest
from fakes import CHATML, byte_tokenizer
from tokenizers import normalizers

from agentray.chat import Template, prompt_of, views
from agentray.chat.turns import encode
from agentray.errors import UsageError
from agentray.mix.samples import Built, build
from agentray.types import Conversation, Message

LLAMA = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ m.content | trim }} [/INST]"
    "{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TALK = (
    Message("user", "Name a colour."),
    Message("assistant", "Blue, of course: naïve 漢字 🙂", loss=True),
    Message("user", "Another?"),
    Message("assistant", "Green.", loss=True),
)


@pytest.fixture(scope="module")
def sentencepiece(tmp_path_factory):
    """A directory with the tokenizer of Mistral 7B v0.1, which is Llama 2's kind of SentencePiece model."""
    found = importlib.util.find_spec("mistral_common")
    model = Path(str(found.origin)).parent / "data" / "tokenizer.model.v1" if found else Path("absent")
    if not model.is_file():
        pytest.skip("mistral_common, which carries a SentencePiece model, is not installed")
    directory = tmp_path_factory.mktemp("llama")
    (directory / "tokenizer.model").write_bytes(model.read_bytes())
    described = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(described | {"legacy": False}))
    return directory


def decoded(sample, template):
    return template.tokens.decode(sample.input_ids[sample.loss_mask].tolist())


@pytest.mark.parametrize("text", [LLAMA, ZEPHYR])
def test_a_sentencepiece_conversation_is_learnt_as_one_text(sentencepiece, text):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(sentencepiece)
    tokenizer.chat_template = text
    template = Template(tokenizer)
    built = build(Conversation(TALK), template, max_length=1000)
    assert isinstance(built, Built), built
    (sample,) = built.samples
    whole = tokenizer.encode(template.render(TALK, opened=False), add_special_tokens=False)
    assert sample.input_ids.tolist() == whole[: len(sample.input_ids)]
    assert "".join(decoded(sample, template).split()) == "Blue,ofcourse:naïve漢字🙂</s>Green.</s>"
    for count in (1, 3):
        prompt = prompt_of(TALK[:count], template).ids
        assert tuple(sample.input_ids[: len(prompt)].tolist()) == prompt


def test_sampled_ids_stand_in_a_sentencepiece_prompt_as_they_were(sentencepiece):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(sentencepiece)
    tokenizer.chat_template = LLAMA
    template = Template(tokenizer)
    sampled = (
        *tokenizer.encode("Bl", add_special_tokens=False),
        *tokenizer.convert_tokens_to_ids(["ue", "</s>"]),
    )
    messages = (TALK[0], Message("assistant", "Blue", loss=True, token_ids=sampled), TALK[2])
    before = prompt_of(messages[:1], template).ids
    following = prompt_of(messages, template)
    assert following.prefix_kept
    assert following.ids[: len(before) + len(sampled)] == (*before, *sampled)
    built = build(Conversation(messages), template, max_length=1000)
    assert built.samples[0].input_ids.tolist() == [*before, *sampled]


def test_a_normal_form_of_the_tokenizer_does_not_disturb_the_proof():
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    template = Template(tokenizer)
    composed = (Message("user", "a"), Message("assistant", "cafe\u0301 n\u0303", loss=True))
    (sample,) = build(Conversation(composed), template, max_length=1000).samples
    assert decoded(sample, template) == "caf\u00e9 \u00f1<|im_end|>"


def test_mentioned_control_tokens_do_not_move_the_places_of_others():
    template = Template(byte_tokenizer(pairs=["ab"]))
    messages = (
        Message("user", "<|im_start|><|im_end|> ab"),
        Message("assistant", "ab<|im_start|>ab é", loss=True),
        Message("user", "<|im_end|>"),
        Message("assistant", "<|im_end|>", loss=True),
    )
    (view,) = views(messages, template)
    ids, mask = encode(view, template)
    text = "<|im_end|>".join(each.content for each in messages if each.loss) + "<|im_end|>"
    assert template.tokens.decode([i for i, m in zip(ids, mask, strict=True) if m]) == text
    genuine = [token for token in ids if template.tokens.is_control(token)]
    assert len(genuine) == 8
    pair = template.tokens.encode("ab").ids
    assert sum(token == pair[0] for token in ids) == 3


def test_a_tokenizer_without_offsets_is_refused():
    class Slow:
        chat_template = CHATML

    with pytest.raises(UsageError, match="which characters a token comes from"):
        Template(Slow())
