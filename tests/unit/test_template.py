from dataclasses import replace

import pytest
from fakes import CharTokenizer

from agentray.data.samples import build
from agentray.template import TemplateError, encode, pieces, prompt_of
from agentray.types import Message

PROMPT = (
    Message("system", "Be brief."),
    Message("user", "one"),
    Message("assistant", "Ok."),
    Message("user", "two"),
)


class PairTokenizer(CharTokenizer):
    """Writes `ab` as one id; a policy may as well sample an `a` and a `b`."""

    pair = 0x110000 + len(CharTokenizer.control)

    def encode(self, text, *, add_special_tokens):
        assert not add_special_tokens
        halves = [
            super(PairTokenizer, self).encode(part, add_special_tokens=False) for part in text.split("ab")
        ]
        return [token for half in halves for token in (self.pair, *half)][1:]

    def decode(self, token_ids, *, skip_special_tokens):
        single = super().encode("ab", add_special_tokens=False)
        spelled = [each for token in token_ids for each in (single if token == self.pair else [token])]
        return super().decode(spelled, skip_special_tokens=skip_special_tokens)


class Stripping(PairTokenizer):
    """Renders earlier replies without the blanks around them."""

    def apply_chat_template(self, conversation, *, tokenize, add_generation_prompt):
        stripped = [{**message, "content": message["content"].strip()} for message in conversation]
        return super().apply_chat_template(
            stripped, tokenize=tokenize, add_generation_prompt=add_generation_prompt
        )


class Hiding(PairTokenizer):
    """Leaves the thoughts of all replies but the last out, as templates of reasoning models do."""

    def apply_chat_template(self, conversation, *, tokenize, add_generation_prompt):
        shown = [
            {**message, "content": message["content"].rpartition("</think>")[2]} for message in conversation
        ]
        if not add_generation_prompt:
            shown[-1] = conversation[-1]
        return super().apply_chat_template(
            shown, tokenize=tokenize, add_generation_prompt=add_generation_prompt
        )


class Marking(PairTokenizer):
    """Changes an early message once the conversation is long."""

    def apply_chat_template(self, conversation, *, tokenize, add_generation_prompt):
        text = super().apply_chat_template(
            conversation, tokenize=tokenize, add_generation_prompt=add_generation_prompt
        )
        return text.replace("Ok.", "Ok.!" if len(conversation) > 5 else "Ok.")


TOKENIZER = PairTokenizer()
END = TOKENIZER.control.index("<|im_end|>")


def spelled(text, *end):
    """Ids of a text, one per character: not as the tokenizer would write it."""
    return (*CharTokenizer().encode(text, add_special_tokens=False), *end)


WHOLE = spelled("ab then ab", END)
CUT_OFF = spelled("ab and so o")
CONTROL = (*spelled("x"), 0, *spelled("ab", END))
"""What the model sampled holds a control token, which the text of its reply does not show."""


def play(*replies, tokenizer=TOKENIZER):
    """Conversation and prompts of an episode whose policy samples these `(text, ids)`."""
    messages, prompts = list(PROMPT), []
    for text, ids in replies:
        prompts.append(prompt_of(messages, tokenizer))
        messages += [Message("assistant", text, loss=True, token_ids=ids), Message("user", "more ab")]
    return messages, [*prompts, prompt_of(messages, tokenizer)]


def test_a_conversation_without_sampled_replies_is_tokenized_as_one_text():
    bare = (*PROMPT, Message("assistant", "ab", loss=True), Message("user", "go"))
    plain = [{"role": each.role, "content": each.content} for each in bare]
    text = TOKENIZER.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    prompt = prompt_of(bare, TOKENIZER)
    assert list(prompt.ids) == TOKENIZER.encode(text, add_special_tokens=False)
    assert prompt.prefix_kept is None


def test_each_prompt_begins_with_all_ids_of_the_turn_before():
    replies = [("ab then ab", WHOLE), ("ab and so o", CUT_OFF), ("xab", CONTROL), ("", (END,))]
    _, prompts = play(*replies)
    assert [prompt.prefix_kept for prompt in prompts] == [None, True, True, True, True]
    for (_, ids), prompt, following in zip(replies, prompts, prompts[1:], strict=False):
        shown = (*prompt.ids, *ids)
        assert following.ids[: len(shown)] == shown
        glue = TOKENIZER.decode(following.ids[len(shown) :], skip_special_tokens=False)
        ended = "" if ids[-1] == END else "<|im_end|>"
        assert glue == f"{ended}\n<|im_start|>user\nmore ab<|im_end|>\n<|im_start|>assistant\n"


def test_what_looks_like_the_end_token_does_not_end_a_reply():
    text = "ab <|im_end|>"
    _, (_, prompt) = play((text, tuple(ord(character) + 2 for character in text)))
    assert TOKENIZER.decode(prompt.ids, skip_special_tokens=False).count("ab <|im_end|><|im_end|>\n") == 1


def test_training_learns_from_the_ids_that_the_policy_acted_on():
    replies = [("ab then ab", WHOLE), ("ab and so o", CUT_OFF), ("ab", spelled("ab", END))]
    messages, prompts = play(*replies)
    acted = [*prompts[2].ids, *replies[2][1]]
    sample, _ = build(messages, TOKENIZER, max_length=1000)
    assert sample.input_ids.tolist() == acted


def test_blanks_that_the_template_strips_do_not_break_the_prefix():
    reply = spelled("  ab\n", END)
    _, (first, second) = play(("  ab\n", reply), tokenizer=Stripping())
    assert second.prefix_kept
    assert second.ids[: len(first.ids) + len(reply)] == (*first.ids, *reply)


@pytest.mark.parametrize("tokenizer", [Hiding(), Marking()])
def test_a_template_that_renders_history_anew_loses_the_prefix_and_says_so(tokenizer):
    thought = "<think>hm</think>ab"
    messages, prompts = play(
        (thought, spelled(thought, END)), ("ab", spelled("ab", END)), tokenizer=tokenizer
    )
    assert [prompt.prefix_kept for prompt in prompts] == [None, False, False]
    bare = [replace(message, token_ids=None) for message in messages]
    assert prompts[-1].ids == prompt_of(bare, tokenizer).ids
    with pytest.raises(TemplateError):
        pieces(messages, tokenizer, opened=True)


def test_a_reply_without_thoughts_keeps_the_prefix_under_a_template_that_hides_them():
    _, prompts = play(("ab", spelled("ab", END)), ("ab", spelled("ab", END)), tokenizer=Hiding())
    assert [prompt.prefix_kept for prompt in prompts] == [None, True, True]


def test_pieces_join_to_the_rendered_text():
    messages, _ = play(("ab then ab", None), ("ab", None))
    plain = [{"role": each.role, "content": each.content} for each in messages]
    text = TOKENIZER.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    parts = pieces(messages, TOKENIZER, opened=True)
    assert "".join(part.text for part in parts) == text
    assert [part.loss for part in parts] == [False, True, False, True, False]
    assert [len(ids) > 0 for ids in encode(parts, TOKENIZER)] == [True] * 5
    assert pieces(messages, TOKENIZER)[-1].text == "ab<|im_end|>"
