"""Any OpenAI-compatible endpoint, over aiohttp."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from agentray.errors import PolicyError, closest
from agentray.types import Message, Reply, Sampling, Usage

API_KEY_VARIABLE = "AGENTRAY_API_KEY"
_RETRIES = 5
_RETRY_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_CONTEXT_WORDS = ("context length", "context window", "maximum context", "max_model_len", "too many tokens")
_log = logging.getLogger(__name__)


class HttpPolicy:
    """Asks `POST {base_url}/chat/completions`.

    Args:
        base_url: The endpoint, e.g. `http://127.0.0.1:8000/v1`.
        model: Name to ask for; None takes the first that `GET /models` lists.
        timeout_s: Longest wait for one request.

    The API key is read from the environment variable `AGENTRAY_API_KEY`.
    """

    def __init__(self, base_url: str, model: str | None = None, timeout_s: float = 120.0) -> None:
        self._base_url = base_url.rstrip("/")
        self._model = model
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=10)
        self._session: aiohttp.ClientSession | None = None
        self._ready = asyncio.Lock()

    async def ready(self) -> None:
        """Check that the endpoint answers, accepts the key and serves the model."""
        await self._connect()

    async def act(self, messages: Sequence[Message], sampling: Sampling) -> Reply:
        """One chat completion; transient failures are retried with growing, jittered pauses."""
        started = time.monotonic()
        session = await self._connect()
        payload: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": each.role, "content": each.content} for each in messages],
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            payload["seed"] = sampling.seed
        document = await self._request(session, "POST", "/chat/completions", payload)
        return _reply(document, time.monotonic() - started)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _connect(self) -> aiohttp.ClientSession:
        """The session; on first use also checks that the endpoint serves the model."""
        async with self._ready:
            if self._session is None:
                key = os.environ.get(API_KEY_VARIABLE)
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                connector = aiohttp.TCPConnector(limit=0)
                session = aiohttp.ClientSession(timeout=self._timeout, headers=headers, connector=connector)
                try:
                    await self._choose_model(session)
                except BaseException:
                    await session.close()
                    raise
                self._session = session
        return self._session

    async def _choose_model(self, session: aiohttp.ClientSession) -> None:
        document = await self._request(session, "GET", "/models", None)
        entries = document.get("data")
        names = [each["id"] for each in entries if "id" in each] if isinstance(entries, list) else []
        if not names:
            raise PolicyError(
                f"{self._base_url} is no OpenAI-compatible endpoint",
                "GET /models lists no model",
                "give the URL that ends in /v1",
            )
        self._model = self._model or names[0]
        if self._model not in names:
            raise PolicyError(
                f"{self._base_url} does not serve {self._model!r}",
                closest(self._model, names),
                "give --model NAME",
            )

    async def _request(
        self, session: aiohttp.ClientSession, method: str, path: str, payload: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        """One JSON request with bounded retries.

        Raises:
            PolicyError: The endpoint refuses, or still fails after the retries.
        """
        failure = "no attempt was made"
        for attempt in range(_RETRIES + 1):
            if attempt:
                pause = min(8.0, 0.25 * 2**attempt) * random.uniform(0.5, 1.5)
                _log.warning("%s %s: %s; retry %d in %.1f s", method, path, failure, attempt, pause)
                await asyncio.sleep(pause)
            try:
                async with session.request(method, self._base_url + path, json=payload) as response:
                    if response.status == 200:
                        document = await response.json(content_type=None)
                        if isinstance(document, dict):
                            return document
                        failure = "the answer is no JSON object"
                        continue
                    failure = f"status {response.status}: {(await response.text())[:300]}"
                    if response.status not in _RETRY_STATUSES:
                        raise _refusal(self._base_url + path, response.status, failure)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                failure = f"{type(error).__name__}: {error}"
        raise PolicyError(
            f"{self._base_url} does not answer", failure, "check that it runs, and that the URL ends in /v1"
        )


def _refusal(url: str, status: int, detail: str) -> PolicyError:
    """The error behind a status that asking again will not change."""
    if status in (401, 403):
        return PolicyError(f"{url} refuses the API key", detail, f"set {API_KEY_VARIABLE}")
    if any(words in detail.lower() for words in _CONTEXT_WORDS):
        return PolicyError("context limit of the endpoint reached", detail, "serve with a longer context")
    return PolicyError(f"{url} refuses the request", detail, "check the URL and the model name")


def _reply(document: Mapping[str, Any], latency_s: float) -> Reply:
    try:
        choice = document["choices"][0]
        text = choice["message"]["content"] or ""
        usage = document.get("usage")
        return Reply(
            text=text,
            usage=Usage(usage["prompt_tokens"], usage["completion_tokens"]) if usage else None,
            finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
            latency_s=latency_s,
        )
    except (KeyError, IndexError, TypeError) as error:
        raise PolicyError(
            "the endpoint's answer is no chat completion", repr(error), "check that the URL ends in /v1"
        ) from error
