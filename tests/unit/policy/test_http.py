"""The HTTP policy against a real aiohttp server on loopback."""

import asyncio
import logging

import pytest
from aiohttp import web

from agentray.errors import PolicyError
from agentray.policy import http
from agentray.policy.http import HttpPolicy
from agentray.types import Message, Sampling, Usage

TALK = (Message("user", "hello"),)
GOOD = {
    "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


def ask(answers, *, models=("m",), key=None, model=None, times=1):
    """Ask a server that gives `answers` (status, body) in turn; returns the replies and what it was sent."""
    seen = []

    async def complete(request):
        seen.append((request.headers.get("Authorization"), await request.json()))
        status, body = answers[min(len(seen), len(answers)) - 1]
        return (
            web.json_response(body, status=status)
            if isinstance(body, dict)
            else web.Response(text=body, status=status)
        )

    async def listed(request):
        if key and request.headers.get("Authorization") != f"Bearer {key}":
            return web.Response(status=401)
        return web.json_response({"data": [{"id": each} for each in models]})

    async def talk():
        app = web.Application()
        app.router.add_post("/v1/chat/completions", complete)
        app.router.add_get("/v1/models", listed)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        policy = HttpPolicy(f"http://127.0.0.1:{port}/v1", model, timeout_s=5)
        try:
            await policy.ready()
            return [await policy.act(TALK, Sampling(seed=7)) for _ in range(times)]
        finally:
            await policy.close()
            await runner.cleanup()

    return asyncio.run(talk()), seen


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(http.random, "uniform", lambda low, high: 0.0)
    monkeypatch.delenv(http.API_KEY_VARIABLE, raising=False)


def test_a_chat_completion_becomes_a_reply():
    (reply,), seen = ask([(200, GOOD)])
    assert (reply.text, reply.usage, reply.finish_reason) == ("hi", Usage(3, 1), "stop")
    sent = seen[0][1]
    assert sent["model"] == "m" and sent["seed"] == 7 and sent["temperature"] == 0.0
    assert sent["messages"] == [{"role": "user", "content": "hello"}]


def test_transient_failures_are_retried(caplog):
    with caplog.at_level(logging.WARNING):
        (reply,), seen = ask([(429, "slow down"), (500, "oops"), (200, "no json"), (200, GOOD)])
    assert reply.text == "hi" and len(seen) == 4
    assert "status 429" in caplog.text


def test_retries_end():
    with pytest.raises(PolicyError, match="does not answer") as caught:
        ask([(503, "down")])
    assert "status 503" in caught.value.why


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (401, "who are you", "refuses the API key"),
        (404, "no such model", "refuses the request"),
        (400, "This model's maximum context length is 2048 tokens", "context limit"),
    ],
)
def test_a_refusal_is_one_clear_error_without_retries(status, body, what):
    with pytest.raises(PolicyError, match=what):
        ask([(status, body), (200, GOOD)])


def test_an_answer_that_is_no_completion_is_an_error():
    with pytest.raises(PolicyError, match="no chat completion"):
        ask([(200, {"hello": "world"})])


def test_an_endpoint_without_models_or_without_this_model_is_refused_before_any_call():
    with pytest.raises(PolicyError, match="no OpenAI-compatible endpoint"):
        ask([(200, GOOD)], models=())
    with pytest.raises(PolicyError, match="does not serve 'mm'"):
        ask([(200, GOOD)], model="mm")


def test_the_key_comes_from_the_environment(monkeypatch):
    with pytest.raises(PolicyError, match="refuses the API key"):
        ask([(200, GOOD)], key="secret")
    monkeypatch.setenv(http.API_KEY_VARIABLE, "secret")
    _, seen = ask([(200, GOOD)], key="secret")
    assert seen[0][0] == "Bearer secret"
