"""What the failures of many servers mean."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agentray.errors import (
    ContextLimitError,
    LoadingError,
    OverloadedError,
    PolicyError,
    PromptError,
    UnavailableError,
)
from agentray.policy.refusals import complaint, failure, retry_after_s

TOO_LONG = {
    "openai": (400, {"error": {"message": "too long", "code": "context_length_exceeded"}}),
    "vllm": (400, {"object": "error", "message": "max_tokens must be at least 1, got -186.", "code": 400}),
    "sglang": (400, {"message": "The input (5000 tokens) is longer than the model's context length (4096)."}),
    "tgi": (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 2048. Given: 2000 and 128"}),
    "llama.cpp": (500, {"error": {"code": 500, "message": "Context size has been exceeded."}}),
    "ollama": (400, {"error": "the input length exceeds the context length"}),
    "anthropic": (400, {"error": {"message": "prompt is too long: 207534 tokens > 200000 maximum"}}),
    "gemini": (
        400,
        [{"error": {"message": "The input token count (9) exceeds the maximum number of tokens"}}],
    ),
    "xai": (400, {"code": "invalid", "error": "This model's maximum prompt length is 131072"}),
    "dashscope": (400, {"error": {"message": "Range of input length should be [1, 30720]"}}),
    "bedrock": (400, {"error": {"message": '{"message":"Input is too long for requested model."}'}}),
    "groq": (413, {"error": {"message": "Request too large on tokens per minute", "code": "rate_limit"}}),
    "moonshot": (400, {"error": {"message": "Your request exceeded model token limit: 8192"}}),
    "proxy": (413, "<html>Request Entity Too Large</html>"),
    "plain": (400, "This model's maximum context length is 2048 tokens"),
}
FINAL = {
    "openai quota": (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}),
    "anthropic credit": (400, {"error": {"message": "Your credit balance is too low"}}),
    "deepseek": (402, {"error": {"message": "Insufficient Balance"}}),
    "openrouter day": (429, {"error": {"message": "Rate limit exceeded: free-models-per-day"}}),
    "dashscope arrears": (400, {"error": {"code": "Arrearage", "message": "Access denied"}}),
    "expired": (401, {"error": {"message": "Token has expired"}}),
    "gemini key": (400, [{"error": {"message": "API key not valid. Please pass a valid API key."}}]),
    "no model": (404, {"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}),
    "litellm model": (400, {"error": {"message": "Invalid model name passed in model=x"}}),
}
PASSING = {
    "rate limit": (429, {"error": {"code": "rate_limit_exceeded", "message": "tokens per minute"}}),
    "groq": (429, {"error": {"message": "Rate limit. Upgrade at https://console.groq.com/settings/billing"}}),
    "gemini minute": (429, {"error": {"message": "You exceeded your current quota. Please retry in 34s."}}),
    "anthropic": (529, {"error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "gateway": (504, "<html>"),
    "unavailable": (503, ""),
}
FILTERED = {
    "azure": (400, {"error": {"message": "triggering content management policy", "code": "content_filter"}}),
    "dashscope": (400, {"error": {"code": "data_inspection_failed", "message": "inappropriate content"}}),
    "openrouter": (403, {"error": {"message": "Your input was flagged"}}),
}


def error_of(status, body, headers=None):
    text = body if isinstance(body, str) else json.dumps(body)
    return failure("http://here/v1", headers or {}, complaint(status, text.encode()), "m")


@pytest.mark.parametrize("name", TOO_LONG)
def test_a_conversation_too_long_is_known_in_every_servers_words(name):
    error = error_of(*TOO_LONG[name])
    assert isinstance(error, ContextLimitError)


@pytest.mark.parametrize("name", FINAL)
def test_what_will_not_pass_is_final(name):
    error = error_of(*FINAL[name])
    assert isinstance(error, PolicyError) and not isinstance(error, PromptError | UnavailableError)
    assert not isinstance(error, ContextLimitError)


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_asked_again(name):
    assert isinstance(error_of(*PASSING[name]), UnavailableError)


@pytest.mark.parametrize("name", FILTERED)
def test_a_filter_is_about_one_prompt(name):
    assert isinstance(error_of(*FILTERED[name]), PromptError)


@pytest.mark.parametrize(
    ("status", "text"),
    [(503, "Loading model"), (500, "llm server loading model"), (503, "Model m is currently loading")],
)
def test_an_endpoint_that_loads_says_so(status, text):
    assert isinstance(error_of(status, {"error": {"message": text}}), LoadingError)


def test_what_a_server_repeats_of_the_prompt_decides_nothing():
    echo = {"detail": [{"loc": ["body", "x"], "msg": "bad", "input": "insufficient_quota context length"}]}
    error = error_of(422, echo)
    assert isinstance(error, PromptError) and "refuses the request" in error.what


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "inf"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_pause_is_read_in_every_form(headers, seconds):
    assert retry_after_s(headers) == seconds


def test_a_pause_may_be_a_date_or_a_sentence():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 60 < retry_after_s({"Retry-After": date}) <= 90
    assert retry_after_s({}, "please try again in 7.66s.") == 7.66
    assert retry_after_s({}, "try again in 1m30s") == 90
    assert retry_after_s({}, "try again in 20ms") == 0.02


def test_a_pause_of_hours_ends_the_run_and_one_of_a_minute_does_not():
    error = error_of(429, "slow down", {"Retry-After": "60"})
    assert isinstance(error, OverloadedError) and error.retry_after_s == 60
    error = error_of(429, "slow down", {"Retry-After": "7200"})
    assert isinstance(error, PolicyError) and "120 min" in error.fix


def test_a_key_that_the_server_repeats_is_not_shown():
    told = complaint(401, b'{"error": "wrong key sk-very-secret"}', ["sk-very-secret"])
    assert "very-secret" not in str(failure("http://here/v1", {}, told))
