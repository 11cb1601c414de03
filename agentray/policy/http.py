"""Any OpenAI-compatible endpoint, over aiohttp. One request is one try: the router tries again."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import aiohttp

from agentray.encoding import decode, encode
from agentray.errors import CONTEXT_LIMIT, OverloadedError, PolicyError, UnavailableError, closest
from agentray.policy.backoff import pause_s
from agentray.types import Message, Reply, Sampling, Usage

API_KEY_VARIABLE = "AGENTRAY_API_KEY"
_RETRIES = 5
"""How often `ready` asks again."""
_LIST_TIMEOUT_S = 15.0
_MAX_ANSWER_BYTES = 32 * 2**20
_KEEP_ALIVE_S = 4.0
"""Below the 5 s after which uvicorn (vLLM, Ray Serve) hangs up, lest a request meets a closing connection."""
_MOST_TOKENS = 2**31 - 1
"""A record's integers are no longer."""
_OVERLOADED_STATUSES = frozenset({429, 503, 529})
_TRANSIENT_STATUSES = frozenset({408, 409, 425, *range(500, 600)}) - _OVERLOADED_STATUSES
_CONTEXT_WORDS = (
    "context length",
    "context_length",
    "context window",
    "context size",
    "maximum context",
    "max_model_len",
    "too many tokens",
)
_log = logging.getLogger(__name__)


class _GarbageError(UnavailableError):
    """The answer is not of the API: a broken proxy sends that once, another kind of server always."""


class _SilentError(PolicyError, UnavailableError):
    """The endpoint does not come up: final for a run that has no other, and may pass for one that has."""


class HttpPolicy:
    """Asks `POST {base_url}/chat/completions`.

    Args:
        base_url: The endpoint, e.g. `http://127.0.0.1:8000/v1`.
        model: Name to ask for; None takes the first that `GET /models` lists.
        timeout_s: Longest wait for one request; None leaves that to the caller, which is cheaper.

    The API key is read from the environment variable `AGENTRAY_API_KEY`.
    """

    def __init__(self, base_url: str, model: str | None = None, timeout_s: float | None = 120.0) -> None:
        self._base_url = base_url.rstrip("/")
        self._model = model
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=10)
        self._session: aiohttp.ClientSession | None = None
        self._connecting = asyncio.Lock()

    @property
    def model(self) -> str | None:
        """The name it asks for; that of an endpoint's first model is known once `ready`."""
        return self._model

    async def ready(self) -> None:
        """Check that the endpoint answers, accepts the key and serves the model.

        Raises:
            PolicyError: It does not, or keeps failing.
        """
        for tries in range(1, _RETRIES + 2):
            try:
                await self._connect()
                return
            except UnavailableError as error:
                failure = error
            if tries <= _RETRIES:
                seconds = pause_s(tries)
                _log.warning("%s: %s; retry %d in %.1f s", failure.what, failure.why, tries, seconds)
                await asyncio.sleep(seconds)
        if isinstance(failure, _GarbageError):
            raise _no_api(self._base_url, failure.why) from failure
        raise _SilentError(
            f"{self._base_url} does not answer",
            failure.why,
            "check that it runs, and that the URL ends in /v1",
        ) from failure

    async def act(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """One chat completion, asked for once.

        Raises:
            PolicyError: The endpoint refuses; asking again will not help.
            OverloadedError: It has too much to do, or did not answer in time.
            UnavailableError: It failed, hung up, or sent garbage.
        """
        started = time.monotonic()
        session = self._session or await self._connect()
        payload: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": each.role, "content": each.content} for each in messages],
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            payload["seed"] = sampling.seed
        url = self._base_url + "/chat/completions"
        answer = await _exchange(session, "POST", url, encode(payload), self._timeout)
        return _reply(url, answer, time.monotonic() - started)

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _connect(self) -> aiohttp.ClientSession:
        """The session; on first use also checks that the endpoint serves the model."""
        async with self._connecting:
            if self._session is None:
                key = os.environ.get(API_KEY_VARIABLE)
                session = aiohttp.ClientSession(
                    headers={"Content-Type": "application/json"}
                    | ({"Authorization": f"Bearer {key}"} if key else {}),
                    connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
                try:
                    await self._choose_model(session)
                except BaseException:
                    await session.close()
                    raise
                self._session = session
        return self._session

    async def _choose_model(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=_LIST_TIMEOUT_S, connect=10)
        url = self._base_url + "/models"
        entries = _parse(url, await _exchange(session, "GET", url, None, timeout)).get("data")
        rows = entries if isinstance(entries, list) else []
        listed = [each.get("id") for each in rows if isinstance(each, dict)]
        names = [each for each in listed if isinstance(each, str)]
        if not names:
            raise _no_api(self._base_url, "GET /models lists no model")
        self._model = self._model or names[0]
        if self._model not in names:
            raise PolicyError(
                f"{self._base_url} does not serve {self._model!r}",
                closest(self._model, names),
                "give --model NAME",
            )


async def _exchange(
    session: aiohttp.ClientSession, method: str, url: str, body: bytes | None, timeout: aiohttp.ClientTimeout
) -> bytes:
    """The body of a successful answer to one request; raises what `HttpPolicy.act` does."""
    try:
        async with session.request(
            method, url, data=body, timeout=timeout, allow_redirects=False
        ) as response:
            answer = await _body(response)
            if response.status != 200:
                raise _failure(url, response.status, response.headers, answer)
            return answer
    except TimeoutError as error:
        raise OverloadedError(
            f"{url} did not answer in time",
            str(error) or "time-out",
            "allow more time, or ask for less at once",
        ) from error
    except aiohttp.InvalidURL as error:
        raise PolicyError(
            f"{url} is no URL", repr(error), "give one like http://127.0.0.1:8000/v1"
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise UnavailableError(f"{url} does not answer", _line(repr(error)), "check that it runs") from error


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The whole body, unless it is too long to be an answer."""
    chunks = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > _MAX_ANSWER_BYTES:
            raise _GarbageError(
                f"{response.url} sent garbage",
                f"an answer of more than {_MAX_ANSWER_BYTES} bytes",
                "check what answers there",
            )
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _failure(
    url: str, status: int, headers: Mapping[str, str], answer: bytes
) -> PolicyError | UnavailableError:
    """The error behind a status."""
    text = answer[:2000].decode("utf-8", "replace")
    why = f"status {status}: {_line(headers.get('Location', text) if 300 <= status < 400 else text)}"
    if status in _OVERLOADED_STATUSES:
        error = OverloadedError(f"{url} has too much to do", why, "ask for less at once")
        seconds = headers.get("Retry-After", "")
        error.retry_after_s = float(seconds) if seconds.isascii() and seconds.isdigit() else 0.0
        return error
    if status in _TRANSIENT_STATUSES:
        return UnavailableError(f"{url} failed", why, "see the endpoint's log")
    if status in (401, 403):
        return PolicyError(f"{url} refuses the API key", why, f"set {API_KEY_VARIABLE}")
    if any(words in text.lower() for words in _CONTEXT_WORDS):
        return PolicyError(f"{CONTEXT_LIMIT} of the endpoint reached", why, "serve with a longer context")
    return PolicyError(f"{url} refuses the request", why, "check the URL and the model name")


def _garbage(url: str, answer: bytes) -> _GarbageError:
    start = _line(answer[:300].decode("utf-8", "replace"))
    return _GarbageError(f"{url} sent garbage", f"not what the API promises: {start}", "ask again")


def _no_api(url: str, why: str) -> PolicyError:
    return PolicyError(f"{url} is no OpenAI-compatible endpoint", why, "give the URL that ends in /v1")


def _line(text: str) -> str:
    """The start of a text from outside, in one line and without control characters."""
    return "".join(each if each.isprintable() else " " for each in text[:300]).strip()


def _parse(url: str, answer: bytes) -> dict[str, Any]:
    """The JSON object in an answer."""
    try:
        document = decode(answer)
    except (ValueError, RecursionError) as error:
        raise _garbage(url, answer) from error
    if not isinstance(document, dict):
        raise _garbage(url, answer)
    return document


def _reply(url: str, answer: bytes, latency_s: float) -> Reply:
    """What a completion says.

    Raises:
        UnavailableError: It is none.
    """
    document = _parse(url, answer)
    try:
        choice = document["choices"][0]
        text, reason = choice["message"].get("content"), choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise _garbage(url, answer) from error
    if text is None and reason is not None:
        text = ""
    if not isinstance(text, str):
        raise _garbage(url, answer)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # JSON can escape half a surrogate pair; no file can
    return Reply(
        text=text,
        usage=_usage(document.get("usage")),
        finish_reason="length" if reason == "length" else "stop",
        latency_s=latency_s,
    )


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Usage(prompt, completion) if _is_count(prompt) and _is_count(completion) else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value <= _MOST_TOKENS
