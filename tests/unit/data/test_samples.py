from dataclasses import replace

import pytest
from fakes import CharTokenizer

from agentray.data.samples import build, prove
from agentray.errors import DataError
from agentray.template import TemplateError, pieces
from agentray.types import Message

TALK = (
    Message("system", "Be brief."),
    Message("user", "one"),
    Message("assistant", "Ok."),
    Message("user", "two"),
    Message("assistant", "  b <|im_end|", loss=True),
    Message("user", "three"),
    Message("assistant", "c", loss=True),
)


def trained(sample, tokenizer):
    return tokenizer.decode(sample.input_ids[sample.loss_mask].tolist(), skip_special_tokens=False)


def test_loss_falls_on_flagged_replies_and_their_end_and_nowhere_else():
    tokenizer = CharTokenizer()
    sample, reason = build(TALK, tokenizer, max_length=1000)
    assert reason is None
    assert trained(sample, tokenizer) == "  b <|im_end|<|im_end|>c<|im_end|>"
    whole = tokenizer.decode(sample.input_ids.tolist(), skip_special_tokens=False)
    rendered = tokenizer.apply_chat_template(
        [{"role": each.role, "content": each.content} for each in TALK],
        tokenize=False,
        add_generation_prompt=False,
    )
    assert rendered == whole + "\n"


def sampled(ids):
    return [*TALK[:6], replace(TALK[6], token_ids=ids), *TALK[7:]]


def test_sampled_ids_are_kept_as_they_were():
    tokenizer = CharTokenizer()
    ids = tuple(tokenizer.encode("c<|im_end|>", add_special_tokens=False))
    sample, _ = build(sampled(ids), tokenizer, max_length=1000)
    assert tuple(sample.input_ids[-2:].tolist()) == ids


def test_a_reply_that_was_cut_off_is_not_taught_to_end():
    tokenizer = CharTokenizer()
    ids = tuple(tokenizer.encode("c", add_special_tokens=False))
    sample, _ = build(sampled(ids), tokenizer, max_length=1000)
    assert trained(sample, tokenizer) == "  b <|im_end|<|im_end|>c"


def test_ids_that_say_more_than_the_text_are_left_out():
    tokenizer = CharTokenizer()
    ids = tuple(tokenizer.encode("<|im_start|>c<|im_end|>", add_special_tokens=False))
    assert build(sampled(ids), tokenizer, max_length=1000) == (None, "inexact_reply")


def test_a_conversation_without_loss_or_too_long_has_no_sample():
    tokenizer = CharTokenizer()
    silent = tuple(replace(each, loss=False) for each in TALK)
    assert build(silent, tokenizer, max_length=1000) == (None, "no_loss")
    assert build(TALK, tokenizer, max_length=20) == (None, "too_long")


class Rewriting(CharTokenizer):
    """Marks the last message, as templates that hide earlier reasoning do."""

    def apply_chat_template(self, conversation, *, tokenize, add_generation_prompt):
        text = super().apply_chat_template(conversation, tokenize=False, add_generation_prompt=False)
        return text.replace("Ok.", "Ok.!" if len(conversation) > 5 else "Ok.")


class Endless(CharTokenizer):
    def apply_chat_template(self, conversation, *, tokenize, add_generation_prompt):
        text = super().apply_chat_template(
            conversation, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return text.replace("<|im_end|>", "<end>")


@pytest.mark.parametrize("tokenizer", [Rewriting(), Endless()])
def test_a_template_that_hides_the_replies_is_refused(tokenizer):
    with pytest.raises(TemplateError):
        build(TALK, tokenizer, max_length=1000)


def test_the_proof_fails_on_a_broad_or_an_empty_mask():
    tokenizer = CharTokenizer()
    sample, _ = build(TALK, tokenizer, max_length=1000)
    parts = pieces(TALK, tokenizer)
    prove(sample, parts, tokenizer)
    broad, empty = sample.loss_mask.copy(), sample.loss_mask & False
    broad[-5] = True
    for mask in (broad, empty):
        with pytest.raises(DataError, match="loss mask is wrong"):
            prove(replace(sample, loss_mask=mask), parts, tokenizer)
