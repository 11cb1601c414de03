"""What an endpoint's failure means: the tables by which an answer that is not a reply becomes an error.

Servers say the same thing in many ways. What decides is a code or text that is known, then the status. Texts
are those that the servers named beside them send; only what a server says itself is looked at, not what it
repeats of the request.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from agentray.encoding import decode
from agentray.errors import (
    ContextLimitError,
    LoadingError,
    OverloadedError,
    PolicyError,
    PromptError,
    UnavailableError,
)
from agentray.policy.address import API_KEY_VARIABLE

LONGEST_WAIT_S = 300.0
"""An endpoint that asks for a longer wait ends the run."""
_OVERLOADED_STATUSES = frozenset({429, 498, 503, 529})
_TRANSIENT_STATUSES = frozenset({408, 409, 425, 499, *range(500, 600)}) - _OVERLOADED_STATUSES
_CONTEXT = (
    "context length",  # OpenAI, vLLM, SGLang, Ollama, LM Studio, Mistral, Fireworks
    "context_length",  # OpenAI's code, DeepSeek, llama-cpp-python
    "context window",  # OpenAI, llama-cpp-python, MiniMax
    "context size",  # llama.cpp
    "context limit",  # Anthropic
    "context_exceeded",
    "context_window_exceeded",
    "exceed_context_size",  # llama.cpp's type
    "maximum context",
    "context is too long",
    "max_model_len",  # vLLM
    "maximum model length",  # vLLM
    "max_seq_len",
    "max_tokens must be at least 1, got -",  # vLLM: what is left for the reply
    "max_new_tokens` must be <=",  # TGI, Together
    "inputs` must have less than",  # TGI
    "max_input_len",  # TensorRT-LLM
    "maximum input length",
    "maximum prompt length",  # xAI
    "prompt is too long",  # Anthropic
    "prompt too long",
    "prompt exceeds",  # Zhipu
    "input is too long",  # Bedrock, Hugging Face
    "input too long",
    "inputs too long",
    "too many input tokens",  # Bedrock
    "too many tokens",  # Cohere
    "range of input length",  # DashScope
    "input token count",  # Gemini
    "input tokens exceed",  # OpenAI
    "maximum number of tokens allowed",  # Gemini
    "exceeds the maximum number of tokens",  # Vertex AI
    "exceeded model token limit",  # Moonshot
    "requested token count exceeds",  # SGLang
    "maximum allowed content length",  # Databricks
    "request too large",  # Groq, OpenAI: larger than the limit of a whole minute
    "request_too_large",  # Anthropic's type
    "string_above_max_length",  # OpenAI's code
    "reduce the length of",  # OpenAI
)
_FILTERED = (
    "content_filter",  # Azure, Mistral
    "content filter",
    "contentfilter",
    "content_policy",  # OpenAI
    "content policy",
    "content management policy",  # Azure
    "responsibleaipolicy",  # Azure's inner code
    "responsible ai",
    "content_moderation",
    "moderation",  # OpenRouter
    "flagged",  # OpenAI, OpenRouter
    "usage policies",
    "usage policy",
    "safety system",
    "safety_block",
    "prohibited_content",  # Gemini
    "prohibited content",
    "data_inspection_failed",  # DashScope
    "inappropriate content",  # DashScope
    "sensitive content",
    "sensitive_words",  # one-api
    "guardrail",  # Bedrock
    "you have been blocked",  # a firewall that dislikes the text of one prompt
)
_UNPAID = (
    "insufficient_quota",  # OpenAI
    "insufficient quota",
    "insufficient_user_quota",  # one-api
    "quota exhausted",
    "quota_exhausted",
    "billing_hard_limit",  # OpenAI
    "billing hard limit",
    "billing_not_active",  # OpenAI
    "account is not active",
    "credit balance is too low",  # Anthropic
    "insufficient balance",  # DeepSeek, Moonshot
    "insufficient_balance",
    "insufficient credit",  # OpenRouter, xAI
    "insufficient fund",
    "balance is insufficient",
    "not enough credit",
    "requires more credits",  # OpenRouter
    "out of credits",
    "used all available credits",  # xAI
    "monthly included credits",  # Hugging Face
    "spending limit",
    "spend limit",
    "budget has been exceeded",  # LiteLLM
    "budget_exceeded",
    "payment required",
    "arrearage",  # DashScope
    "in arrears",
    "overdue",
)
_QUOTA = (
    "exceeded your current quota",
    "quota exceeded",
    "quota_exceeded",
    "per day",
    "per-day",
    "daily limit",
)
"""As `_UNPAID`, unless the endpoint says when to come back: Gemini calls the limit of a minute so."""
_BAD_KEY = (
    "invalid api key",
    "invalid_api_key",
    "api key not valid",  # Gemini, as 400
    "api_key_invalid",
    "incorrect api key",  # OpenAI; xAI, as 400
    "api key expired",
    "expired api key",
    "api key has been",
    "token has expired",
    "token_expired",
    "authentication_error",
    "invalid authentication",
    "unauthenticated",
)
_NO_MODEL = (
    "model_not_found",
    "model not found",
    "no such model",
    "unknown model",
    "unknown_model",
    "invalid model",
    "not a valid model",  # OpenRouter
    "model does not exist",
    "deploymentnotfound",  # Azure
)
_LOADING = (
    "loading",
    "starting",
    "warming up",
    "warm up",
    "initializing",
    "not ready",
    "still being",
    "cold start",
    "scaling up",
)
_BUSY = ("overloaded", "rate_limit", "rate limit", "too many requests", "resource_exhausted", "at capacity")
_PASSING = ("timed out", "timeout", "temporarily", "try again later", "internal server error", "upstream")
_AGAIN = re.compile(
    r"(?:try again in|retry after|retry in|retrydelay\W+)\s*(?:(\d+)m)?\s*([\d.]+)\s*(ms|s|second)?"
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an endpoint says is wrong."""

    status: int
    """Of HTTP; of the error in it where the answer says 200."""
    said: str
    """Messages, codes and types, in small letters."""
    line: str
    """The start of the answer, on one line."""
    parameter: str
    """What it names as wrong in the request, in small letters."""
    embedded: bool = False
    """It came as the body of a success."""

    def has(self, words: Sequence[str]) -> bool:
        """Whether it says one of these."""
        return any(each in self.said for each in words)


class RefusedError(PromptError):
    """The request is refused for a reason that is not in the tables; perhaps a parameter of it."""

    complaint: Complaint | None = None


def complaint(status: int, body: bytes, secrets: Sequence[str] = (), *, embedded: bool = False) -> Complaint:
    """Read the body of a failure.

    Args:
        status: HTTP's.
        body: What came with it.
        secrets: What must not be shown of it.
        embedded: Whether it is the error in a success.
    """
    text = body[:20_000].decode("utf-8", "replace")
    for secret in secrets:
        text = text.replace(secret, "...")
    said: list[str] = []
    parameters: list[str] = []
    try:
        document = decode(text.encode())
    except (ValueError, RecursionError):
        said.append(text[:1000])
    else:
        for name, value in _leaves(document):
            (parameters if name in ("param", "loc") else said).append(value)
    if embedded:
        code = next((int(each) for each in said if re.fullmatch(r"[45]\d\d", each)), None)
        status = code or 500
    return Complaint(status, " | ".join(said).lower(), one_line(text), " ".join(parameters).lower(), embedded)


def _leaves(document: Any, name: str = "message", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Texts in an error document with the names they have; without what it repeats of the request."""
    if isinstance(document, Mapping):
        for key, value in document.items():
            if key not in ("input", "ctx", "request", "body", "prompt", "messages") and depth < 8:
                yield from _leaves(value, str(key).lower(), depth + 1)
    elif isinstance(document, list):
        for each in document[:20]:
            yield from _leaves(each, name, depth + 1)
    elif isinstance(document, str):
        yield name, document[:2000]
    elif isinstance(document, int) and name in ("code", "status", "status_code"):
        yield name, str(document)


def failure(
    shown: str, headers: Mapping[str, str], refused: Complaint, model: str | None = None
) -> PolicyError | UnavailableError:
    """The error behind a complaint.

    Args:
        shown: The endpoint, for people.
        headers: Of its answer.
        refused: The complaint.
        model: What was asked for.
    """
    status, why = refused.status, f"status {refused.status}: {refused.line}"
    wait_s = retry_after_s(headers, refused.said)
    if status not in (401, 402, 429, 503, 529) and refused.has(_FILTERED):
        return PromptError(f"{shown} filters the prompt", why, "leave the task out, or ask another endpoint")
    if _too_long(refused):
        return ContextLimitError(
            f"the conversation exceeds the context of {shown}", why, "serve with a longer context"
        )
    lasting = (
        refused.has(_QUOTA) and not wait_s and not refused.has(("per minute", "perminute", "per_minute"))
    )
    unpaid = status == 402 or refused.has(_UNPAID) or lasting
    if unpaid or (wait_s > LONGEST_WAIT_S and (status in _OVERLOADED_STATUSES or refused.has(_BUSY))):
        return _exhausted(shown, why, wait_s)
    if status in (401, 403) or (status < 500 and status != 429 and refused.has(_BAD_KEY)):
        return PolicyError(
            f"{shown} refuses the API key", why, f"set {API_KEY_VARIABLE}; the same command then goes on"
        )
    if status in (400, 404, 422) and (refused.has(_NO_MODEL) or _names_model(refused)):
        return PolicyError(f"{shown} does not serve {model!r}", why, "give --model NAME")
    return _by_status(shown, refused, why, wait_s)


def _by_status(shown: str, refused: Complaint, why: str, wait_s: float) -> PolicyError | UnavailableError:
    """The error behind a complaint that no text explains."""
    status = refused.status
    error: PolicyError | UnavailableError
    if status >= 500 and refused.has(_LOADING) and "overloaded" not in refused.said:
        error = LoadingError(f"{shown} is loading", why, "wait")
    elif status in _OVERLOADED_STATUSES or refused.has(_BUSY):
        error = OverloadedError(f"{shown} has too much to do", why, "ask for less at once")
    elif status in _TRANSIENT_STATUSES or refused.embedded or (status == 400 and refused.has(_PASSING)):
        error = UnavailableError(f"{shown} failed", why, "see the endpoint's log")
    elif status in (400, 422):
        error = RefusedError(
            f"{shown} refuses the request", why, "check the URL, the model name and the settings"
        )
        error.complaint = refused
    elif status == 407:
        error = PolicyError(
            "the proxy refuses", why, "put its user and password into HTTP_PROXY or HTTPS_PROXY"
        )
    else:
        error = PolicyError(f"{shown} refuses the request", why, "check the URL and the model name")
    if isinstance(error, OverloadedError):
        error.retry_after_s = min(wait_s, LONGEST_WAIT_S)
    return error


def _too_long(refused: Complaint) -> bool:
    if refused.status in (401, 402, 403, 503, 529):
        return False
    if refused.status == 413:
        return True
    if refused.status == 429:
        return refused.has(("request too large", "context_length_exceeded"))
    return refused.has(_CONTEXT)


def _names_model(refused: Complaint) -> bool:
    return "model" in refused.said and refused.has(
        ("not found", "not exist", "not available", "not supported by any")
    )


def _exhausted(shown: str, why: str, wait_s: float) -> PolicyError:
    when = f" in {wait_s / 60:.0f} min" if wait_s else ""
    return PolicyError(
        f"{shown}: the account's quota or credit is used up",
        why,
        f"raise it or wait; the same command then goes on{when}",
    )


def retry_after_s(headers: Mapping[str, str], said: str = "") -> float:
    """How long an endpoint asks not to be called, in seconds; 0 where it does not say.

    Source: RFC 9110, section 10.2.3; `retry-after-ms` is Azure's, the texts are Groq's and OpenAI's.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (found := _number(headers.get(name, ""))) is not None:
            return found / 1000
    header = headers.get("Retry-After", headers.get("retry-after", "")).strip()
    if header:
        found = _number(header)
        return _until(header) if found is None else found
    match = _AGAIN.search(said)
    if match is None:
        return 0.0
    seconds = (_number(match[2]) or 0.0) * (0.001 if match[3] == "ms" else 1.0)
    return 60.0 * int(match[1] or 0) + seconds


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return max(0.0, found) if math.isfinite(found) else 0.0


def _until(date: str) -> float:
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def one_line(text: str) -> str:
    """The start of a text from outside, in one line and without control characters."""
    return "".join(each if each.isprintable() else " " for each in text[:300]).strip()
