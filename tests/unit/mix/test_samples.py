"""The proof of the loss mask; what samples hold is tested in `tests/unit/chat`."""

from dataclasses import replace

from fakes import byte_tokenizer

from agentray.chat import Template, views
from agentray.mix.samples import build, flaw
from agentray.types import Conversation, Message

TALK = (
    Message("system", "Be brief."),
    Message("user", "one"),
    Message("assistant", "Ok."),
    Message("user", "two"),
    Message("assistant", "  b <|im_end|", loss=True),
    Message("user", "three"),
    Message("assistant", "ç", loss=True),
)


def test_the_proof_fails_on_a_broad_a_narrow_and_an_empty_mask():
    template = Template(byte_tokenizer())
    (sample,) = build(Conversation(TALK), template, max_length=1000).samples
    (view,) = views(TALK, template)
    assert flaw(sample, view, template) is None
    first, last = sample.loss_mask.nonzero()[0][[0, -1]]
    for index, with_loss in ((first - 1, True), (first, False), (last, False), (0, True)):
        mask = sample.loss_mask.copy()
        mask[index] = with_loss
        assert flaw(replace(sample, loss_mask=mask), view, template)[0] == "unproved_mask"
    assert flaw(replace(sample, loss_mask=sample.loss_mask & False), view, template)[0] == "unproved_mask"


def test_a_tokenizer_that_loses_characters_cannot_be_trained_on_them():
    tokenizer = byte_tokenizer()
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    shouted = (*TALK[:4], Message("assistant", "LOUD", loss=True))
    assert build(Conversation(shouted), Template(tokenizer), max_length=1000).reason == "unproved_mask"
