"""The HTTP policy against a real aiohttp server on loopback."""

import asyncio

import pytest
from servers import TALK, ask

from agentray.errors import OverloadedError, PolicyError, UnavailableError, UsageError
from agentray.policy import http
from agentray.policy.http import HttpPolicy
from agentray.types import Sampling, Usage

TRANSIENT = (408, 409, 425, 500, 502, 504)
GOOD = {
    "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


def counted(prompt, completion):
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def completion(message, reason="stop", **fields):
    """A body with one choice."""
    return {"choices": [{"message": message, "finish_reason": reason}], **fields}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(http, "pause_s", lambda failures: 0.0)
    monkeypatch.setattr(http, "_LOADING_POLL_S", 0.0)
    monkeypatch.delenv(http.API_KEY_VARIABLE, raising=False)


def test_a_chat_completion_becomes_a_reply():
    reply, seen = ask([(200, GOOD)])
    assert (reply.text, reply.usage, reply.finish_reason) == ("hi", Usage(3, 1), "stop")
    sent = seen[0][1]
    assert sent["model"] == "m" and sent["seed"] == 7 and sent["temperature"] == 0.0
    assert sent["messages"] == [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("body", "text", "reason", "usage"),
    [
        (completion({"content": ""}), "", "stop", None),
        (completion({"content": "a"}, "length", usage=None), "a", "length", None),
        (completion({"content": "a"}, None, usage={"prompt_tokens": None}), "a", "stop", None),
        (completion({"content": "a"}, usage=counted(2**31, 1)), "a", "stop", None),
        (completion({"content": "a"}, usage=counted(1, -1)), "a", "stop", None),
        (completion({"content": "a"}, usage=counted(2**31 - 1, 0)), "a", "stop", Usage(2**31 - 1, 0)),
        (completion({"content": "é\ud800"}), "é?", "stop", None),
    ],
)
def test_what_is_missing_is_unknown(body, text, reason, usage):
    reply, _ = ask([(200, body)])
    assert (reply.text, reply.finish_reason, reply.usage) == (text, reason, usage)


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, OverloadedError), (503, OverloadedError), *((each, UnavailableError) for each in TRANSIENT)],
)
def test_a_failure_that_may_pass_is_one_try(status, error):
    with pytest.raises(error, match=f"status {status}") as caught:
        ask([(status, "later"), (200, GOOD)])
    assert isinstance(caught.value, OverloadedError) == (error is OverloadedError)
    if error is OverloadedError:
        assert caught.value.retry_after_s == 7.0
    reply, seen = ask([(status, "later"), (200, GOOD)], tries=2)
    assert reply.text == "hi" and len(seen) == 2


@pytest.mark.parametrize(
    "body",
    [
        "<html>upstream is restarting</html>",
        "",
        "[]",
        "[" * 100_000,
        '{"choices": [{"message": {"content": "h',
        {"hello": "world"},
        {"choices": []},
        {"choices": [None]},
        {"choices": [{"text": "hi"}]},
        [],
    ],
)
def test_garbage_may_pass(body):
    with pytest.raises(UnavailableError, match="sent garbage"):
        ask([(200, body)])


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + b'{"choices": [', b"\x00\x01 what"]
)
def test_a_broken_connection_may_pass(raw):
    with pytest.raises(UnavailableError, match="does not answer"):
        ask([(200, raw)])


def test_no_answer_in_time_is_an_overload():
    with pytest.raises(OverloadedError, match="did not answer in time"):
        ask([(200, None)], timeout_s=0.2)


def test_an_answer_has_a_bounded_size(monkeypatch):
    monkeypatch.setattr(http, "_MAX_ANSWER_BYTES", 1000)
    with pytest.raises(UnavailableError, match="more than 1000 bytes"):
        ask([(200, "x" * 1001)])


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (401, "who are you", "refuses the API key"),
        (404, "no such model", "does not serve 'm'"),
        (404, "nothing here", "refuses the request"),
        (302, "moved", r"refuses the request(.|\n)*/login"),
        (400, "This model's maximum context length is 2048 tokens", "exceeds the context"),
    ],
)
def test_a_refusal_is_one_clear_error(status, body, what):
    with pytest.raises(PolicyError, match=what) as caught:
        ask([(status, body), (200, GOOD)])
    assert not isinstance(caught.value, UnavailableError)


def test_an_endpoint_without_models_or_without_this_model_is_refused_before_any_call():
    with pytest.raises(PolicyError, match="not an OpenAI-compatible endpoint"):
        ask([(200, GOOD)], models=())
    with pytest.raises(PolicyError, match=r"does not serve 'mm'(.|\n)*accepted: m"):
        ask([(200, GOOD)], model="mm", must_list=True)


def test_ready_asks_again_for_what_may_pass(caplog):
    reply, _ = ask([(200, GOOD)], listing=[(503, "starting"), (200, "<html>")])
    assert reply.text == "hi"
    assert "status 503" in caplog.text


def test_ready_ends_with_a_clear_error():
    with pytest.raises(PolicyError, match=r"does not answer(.|\n)*status 500") as caught:
        ask([(200, GOOD)], listing=[(500, "broken")] * 10)
    assert isinstance(caught.value, UnavailableError)  # a router goes on with its other endpoints
    with pytest.raises(PolicyError, match="not an OpenAI-compatible endpoint"):
        ask([(200, GOOD)], listing=[(200, "<html>welcome</html>")] * 10)
    with pytest.raises(PolicyError, match="does not answer"):
        asyncio.run(HttpPolicy("http://127.0.0.1:9/v1").ready())


def test_the_first_call_connects_where_nobody_waited_until_it_is_ready():
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        asyncio.run(HttpPolicy("http://127.0.0.1:9/v1").act(TALK, Sampling(), {}))
    assert not isinstance(caught.value, PolicyError)


def test_an_address_that_is_none_is_refused():
    with pytest.raises(UsageError, match="is not a URL"):
        HttpPolicy("nowhere")


def test_the_key_comes_from_the_environment(monkeypatch):
    with pytest.raises(PolicyError, match="refuses the API key"):
        ask([(200, GOOD)], key="secret")
    monkeypatch.setenv(http.API_KEY_VARIABLE, "secret")
    _, seen = ask([(200, GOOD)], key="secret")
    assert seen[0][0] == "Bearer secret"
