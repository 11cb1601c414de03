"""What counts as a reply of the model, and what does not."""

from pathlib import Path

import pytest
from servers import ask

from agentray.errors import (
    ContextLimitError,
    OverloadedError,
    PolicyError,
    PromptError,
    ReplyError,
    UnavailableError,
)
from agentray.policy.answers import FINISHED
from agentray.policy.thoughts import split

CALL = {"id": "1", "type": "function", "function": {"name": "run", "arguments": '{"sql": "SELECT 1"}'}}


def said(content, reason="stop", *, choice=None, **message):
    """The answer of a server whose choice has these fields."""
    first = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}
    return 200, {"choices": [first | (choice or {})]}


@pytest.mark.parametrize("reason", [*FINISHED, "STOP", "EOS_TOKEN", "MAX_TOKENS", "COMPLETE"])
def test_a_reply_that_ended_or_was_cut_is_one(reason):
    reply, _ = ask([said("hi", reason)])
    word = reason.lower() if reason else reason
    assert (reply.text, reply.finish_reason) == ("hi", FINISHED[word])


def test_every_finish_reason_that_counts_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "rollouts.md").read_text(encoding="utf-8")
    words = [each for each in FINISHED if each and not each.startswith("finish_reason_")]
    assert not [each for each in words if f"`{each}`" not in page]


@pytest.mark.parametrize(
    "answer",
    [
        *(said("half a rep", reason) for reason in ("error", "abort", "content_filter", "safety", "oops", 7)),
        said(None),
        said(None, "content_filter"),
        said(None, None),
        said("", "error", choice={"error": {"message": "upstream went away"}}),
        said(7),
        said([{"type": "image_url", "image_url": {"url": "x"}}]),
        (200, {"choices": [{"message": {}, "finish_reason": "stop"}]}),
    ],
)
def test_whatever_else_came_is_no_reply_and_is_asked_again(answer):
    with pytest.raises(UnavailableError) as caught:
        ask([answer])
    assert not isinstance(caught.value, PolicyError)
    reply, seen = ask([answer, said("hi")], tries=2)
    assert reply.text == "hi" and len(seen) == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 502, "message": "provider disconnected"}, UnavailableError),
        ({"code": 429, "message": "slow down"}, OverloadedError),
        ({"code": 401, "message": "no"}, PolicyError),
        ({"code": "insufficient_quota", "message": "pay"}, PolicyError),
        ({"code": "content_filter", "message": "no"}, PromptError),
        ("something broke", UnavailableError),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_an_error_in_a_success_is_an_error(error, kind, inside):
    body = {"choices": [{"error": error, "message": {"content": "x"}}]} if inside else {"error": error}
    with pytest.raises(kind):
        ask([(200, body)])


def test_a_conversation_too_long_is_told_in_a_success_too():
    with pytest.raises(ContextLimitError):
        ask([(200, {"error": {"message": "Context size has been exceeded."}})])
    with pytest.raises(ContextLimitError):
        ask([(200, {"object": "error", "message": "prompt is too long: 9 tokens > 8 maximum"})])
    with pytest.raises(ContextLimitError):
        ask([(200, '[{"error": {"message": "The input token count (9) exceeds the maximum"}}]')])


def test_parts_of_a_content_are_joined_and_thoughts_among_them_are_not():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Action"},
        {"type": "output_text", "text": ": 1"},
        "!",
    ]
    reply, _ = ask([said(parts)], reasoning="keep")
    assert (reply.text, reply.reasoning) == ("Action: 1!", "hm")


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("<think>Action: 7?</think>\n\nAction: 1", "Action: 1", "Action: 7?"),
        ("Action: 7?</think>\nAction: 1", "Action: 1", "Action: 7?"),
        ("<think>Action: 7", "", "Action: 7"),
        ("<think></think>Action: 1", "Action: 1", ""),
        ("<thinking>a</thinking>b<thinking>c</thinking>d", "bd", "a\nc"),
        ("[THINK]a[/THINK]b", "b", "a"),
        ("◁think▷a◁/think▷b", "b", "a"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "b", "a"),
        ("SELECT a FROM b WHERE c < 3 [1]", "SELECT a FROM b WHERE c < 3 [1]", None),
    ],
)
def test_thoughts_in_the_text_are_told_from_the_answer(text, answer, thought):
    assert split(text) == (answer, thought)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_beside_the_text_are_kept_where_wanted(field):
    assert ask([said("hi", **{field: "hm"})])[0].reasoning is None
    reply, _ = ask([said("hi", **{field: "hm"})], reasoning="keep")
    assert (reply.text, reply.reasoning) == ("hi", "hm")


@pytest.mark.parametrize(
    "answer", [said(None, reasoning_content="Action: 1"), said("<think>Action: 1</think>")]
)
def test_thoughts_alone_are_an_answer_only_where_a_setting_says_so(answer):
    with pytest.raises(ReplyError, match=r"reasoning=answer"):
        ask([answer])
    assert ask([answer], reasoning="answer")[0].text == "Action: 1"


def test_thoughts_that_the_limit_cut_are_a_reply_without_an_answer():
    for answer in (said(None, "length", reasoning_content="hm"), said("<think>hm", "length")):
        reply, _ = ask([answer])
        assert (reply.text, reply.finish_reason) == ("", "length")


def test_a_tool_call_is_a_text_only_where_a_setting_says_so():
    answer = said(None, "tool_calls", tool_calls=[CALL])
    with pytest.raises(ReplyError, match=r"tool_calls=text"):
        ask([answer])
    text = '{"name": "run", "arguments": {"sql": "SELECT 1"}}'
    assert ask([answer], tool_calls="text")[0].text == text
    assert ask([said("hi", tool_calls=[])])[0].text == "hi"


def test_a_reply_says_who_gave_it():
    status, body = said("hi")
    reply, _ = ask([(status, body | {"model": "m-2024", "system_fingerprint": "b42"})])
    assert reply.source.model == "m-2024" and reply.source.address.startswith("http://127.0.0.1:")
    assert "aiohttp" in reply.source.version and "b42" in reply.source.version
