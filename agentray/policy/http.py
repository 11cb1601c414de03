"""Any OpenAI-compatible endpoint, over aiohttp. One request is one try: the router tries again.

Where servers differ is in the modules beside this one: `address` (URLs, keys, proxies), `models` (lists of
them), `request` (parameters), `answers` (replies), `refusals` (failures). docs/rollouts.md has the table.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from yarl import URL

from agentray.encoding import decode, encode
from agentray.errors import (
    LoadingError,
    OverloadedError,
    PolicyError,
    UnavailableError,
    UsageError,
)
from agentray.policy import models
from agentray.policy.address import API_KEY_VARIABLE, api_key, parse_address, target
from agentray.policy.answers import Reading, Reasoning, ToolCalls, error_in, read_reply
from agentray.policy.backoff import pause_s
from agentray.policy.refusals import RefusedError, complaint, failure, one_line
from agentray.policy.request import Request
from agentray.types import Message, Reply, Sampling, Source

__all__ = ["API_KEY_VARIABLE", "HttpPolicy"]
_RETRIES = 5
"""How often `ready` asks again."""
_LOADING_S = 600.0
"""How long `ready` waits for an endpoint that says it is loading, or answers 503."""
_LOADING_POLL_S = 2.0
_ADAPTATIONS = 6
"""Parameters that may be changed for one endpoint."""
_LIST_TIMEOUT_S = 15.0
_VERSION_TIMEOUT_S = 3.0
_MAX_ANSWER_BYTES = 32 * 2**20
_KEEP_ALIVE_S = 4.0
"""Below the 5 s after which uvicorn (vLLM, Ray Serve) hangs up, lest a request meets a closing connection."""
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
        must_list: Whether `GET /models` must list `model`: it was not the user who named it.
        reasoning: What to do with thoughts: `drop` them, `keep` them beside the reply, or use them as the
            `answer` where a reply has nothing else.
        tool_calls: What to do with a tool call instead of a text: `fail`, or use it as a `text`.

    The API key is read from the environment variable `AGENTRAY_API_KEY`.

    Raises:
        UsageError: The address or the key is not valid.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        timeout_s: float | None = 120.0,
        *,
        must_list: bool = False,
        reasoning: Reasoning = "drop",
        tool_calls: ToolCalls = "fail",
    ) -> None:
        self._address = parse_address(base_url)
        self._key = api_key()
        self._must_list = must_list
        self._request = Request(model)
        self._how = Reading(self._address.shown, reasoning, tool_calls)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=10)
        self._chat_url = URL(self._address.url("/chat/completions"), encoded=True)
        self._session: aiohttp.ClientSession | None = None
        self._proxy: dict[str, Any] = {}
        self._connecting = asyncio.Lock()
        self._names: list[str] = []
        self._version: str | None = None
        self._fingerprint: object = None
        self._source: Source | None = None

    @property
    def model(self) -> str | None:
        """The name it asks for; that of an endpoint's first model is known once `ready`."""
        return self._request.model

    @property
    def adapted(self) -> tuple[str, ...]:
        """What the endpoint is asked differently, because it refused the usual way."""
        return self._request.adapted

    async def ready(self) -> None:
        """Check that the endpoint answers, accepts the key and serves the model; wait while it loads.

        Raises:
            PolicyError: It does not, or keeps failing.
        """
        started, tries = time.monotonic(), 0
        while True:
            try:
                await self._connect()
                return
            except UnavailableError as error:
                failed = error
            loading = isinstance(failed, LoadingError) or "status 503" in failed.why
            if not loading or time.monotonic() - started > _LOADING_S:
                tries += 1
            if tries > _RETRIES:
                break
            seconds = max(pause_s(max(1, tries)), min(failed_wait_s(failed), 30.0))
            seconds = max(seconds, _LOADING_POLL_S) if loading else seconds
            _log.warning("%s: %s; asked again in %.1f s", failed.what, failed.why, seconds)
            await asyncio.sleep(seconds)
        if isinstance(failed, _GarbageError):
            raise self._no_api(failed.why) from failed
        raise _SilentError(
            f"{self._how.shown} does not answer",
            failed.why,
            "check that it runs, and that the URL ends in /v1",
        ) from failed

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """One chat completion, asked for once.

        Raises:
            PolicyError: The endpoint refuses; asking again will not help.
            OverloadedError: It has too much to do, or did not answer in time.
            ReplyError: It works, but did not send a reply of the model.
            UnavailableError: It failed, hung up, or sent garbage.
        """
        started = time.monotonic()
        session = self._session or await self._connect()
        payload = self._request.payload(messages, sampling)
        for _ in range(_ADAPTATIONS):
            try:
                answer = await self._exchange(session, "POST", self._chat_url, encode(payload), self._timeout)
                break
            except RefusedError as refusal:
                refused = refusal.complaint
                if refused is None or not self._request.adapt(payload, refused):
                    raise
                payload = self._request.payload(messages, sampling)
        else:
            raise PolicyError(
                f"{self._how.shown} refuses every way to ask", str(self.adapted), "check the URL"
            )
        document = self._parse(answer)
        if (choices := document.get("choices")) and "error" not in document and type(choices) is list:
            wrong = type(choices[0]) is dict and "error" in choices[0]
        else:
            wrong = True
        if wrong and error_in(document):
            refused = complaint(200, answer, self._secrets, embedded=True)
            raise failure(self._how.shown, {}, refused, self.model)
        reply = read_reply(self._how, document, time.monotonic() - started, self._answered(document))
        if reply is None:
            raise self._garbage(answer)
        return reply

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _connect(self) -> aiohttp.ClientSession:
        """The session; on first use also checks that the endpoint serves the model."""
        async with self._connecting:
            if self._session is None:
                self._proxy = _through(self._address.proxy())
                session = aiohttp.ClientSession(
                    headers={"Content-Type": "application/json", **self._address.headers(self._key)},
                    connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
                try:
                    await self._choose_model(session)
                    self._version = await self._find_version(session)
                except BaseException:
                    await session.close()
                    raise
                self._session = session
        return self._session

    async def _choose_model(self, session: aiohttp.ClientSession) -> None:
        """Ask for the models; a list that cannot be had matters only where nobody named one."""
        timeout = aiohttp.ClientTimeout(total=_LIST_TIMEOUT_S, connect=10)
        wanted, why = self.model or self._address.deployment, "GET /models lists no model"
        try:
            url = URL(self._address.url("/models"), encoded=True)
            answer = await self._exchange(session, "GET", url, None, timeout)
            self._names = models.listed(self._parse(answer, any_kind=True))
        except (PolicyError, _GarbageError) as error:
            garbage = isinstance(error, _GarbageError)
            final = not garbage and not error.what.endswith("refuses the request")
            hopeless = wanted is None and (garbage or not self._address.names_version)
            if final or hopeless or "status 3" in error.why:
                raise
            why = error.why
        if wanted is None:
            wanted = models.first(self._names)
            if wanted is None:
                raise self._no_api(why)
            if len(self._names) > 1:
                _log.warning("%s lists %d models; asked for %r", self._how.shown, len(self._names), wanted)
        elif self._names and not models.lists(self._names, wanted):
            if self._must_list:
                raise models.not_served(self._how.shown, wanted, self._names)
            _log.warning("%s does not list %r, and is asked for it", self._how.shown, wanted)
        self._request.model = wanted

    async def _find_version(self, session: aiohttp.ClientSession) -> str | None:
        """What the server says it is; a missing answer is no failure."""
        server = self._version
        try:
            timeout = aiohttp.ClientTimeout(total=_VERSION_TIMEOUT_S)
            url = URL(self._address.root + "/version", encoded=True)
            answer = await self._exchange(session, "GET", url, None, timeout)
            version = self._parse(answer).get("version")
        except (PolicyError, UnavailableError):
            version = None
        parts = [each for each in (server, version) if isinstance(each, str) and each]
        return " ".join(parts)[:100] or None

    def _answered(self, document: dict[str, Any]) -> Source:
        """Who answered; one object for as long as it is the same. Without a name it is who was asked."""
        model, fingerprint = document.get("model"), document.get("system_fingerprint")
        source = self._source
        name = model if type(model) is str and model else self._request.model
        if source is None or source.model != name or fingerprint != self._fingerprint:
            parts = (self._version, fingerprint if isinstance(fingerprint, str) and fingerprint else None)
            version = " ".join(each for each in parts if each) or None
            source = self._source = Source(name, self._how.shown, version)
            self._fingerprint = fingerprint
        return source

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: URL,
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,
    ) -> bytes:
        """The body of a successful answer to one request; raises what `act` does."""
        try:
            async with session.request(
                method, url, data=body, timeout=timeout, allow_redirects=False, **self._proxy
            ) as response:
                answer = await self._body(response)
                if response.status != 200:
                    raise self._failure(response, answer)
                if self._version is None:
                    self._version = one_line(response.headers.get("Server", ""))[:80]
                return answer
        except TimeoutError as error:
            raise OverloadedError(
                f"{self._how.shown} did not answer in time",
                str(error) or "time-out",
                "allow more time, or ask for less at once",
            ) from error
        except aiohttp.InvalidURL as error:
            raise UsageError(
                f"{self._how.shown} is not a URL", repr(error), "give one like http://127.0.0.1:8000/v1"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            why = one_line(self._clean(repr(error)))
            raise UnavailableError(f"{self._how.shown} does not answer", why, "check that it runs") from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """The whole body, unless it is too long to be an answer."""
        chunks = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > _MAX_ANSWER_BYTES:
                raise _GarbageError(
                    f"{self._how.shown} sent garbage",
                    f"an answer of more than {_MAX_ANSWER_BYTES} bytes",
                    "check what answers there",
                )
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _failure(self, response: aiohttp.ClientResponse, answer: bytes) -> PolicyError | UnavailableError:
        """The error behind a status; one that the URL explains says what to type."""
        status, shown = response.status, self._how.shown
        if 300 <= status < 400:
            location = self._clean(response.headers.get("Location", ""))
            there = target(self._address, location)
            fix = f"give --policy {there}" if there else "give the URL of the API itself, which ends in /v1"
            return PolicyError(
                f"{shown} refuses the request", f"status {status}: it redirects to {location}", fix
            )
        error = failure(shown, response.headers, complaint(status, answer, self._secrets), self.model)
        if status in (404, 405) and not self._address.names_version:
            fix = f"give the URL that ends in /v1: --policy {self._address.base}/v1{self._address.query}"
            return PolicyError(error.what, error.why, fix)
        unlisted = self._names and not models.lists(self._names, self.model or "")
        if unlisted and error.what.endswith(f"does not serve {self.model!r}"):
            return models.not_served(shown, self.model or "", self._names)
        return error

    @property
    def _secrets(self) -> tuple[str, ...]:
        """What a server may repeat and nobody may see."""
        user = self._address.user
        password = user.partition(":")[2] if user else None
        return tuple(each for each in (self._key, password) if each and len(each) > 3)

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "...")
        return text

    def _garbage(self, answer: bytes) -> _GarbageError:
        start = one_line(self._clean(answer[:300].decode("utf-8", "replace")))
        why = f"not what the API promises: {start}"
        return _GarbageError(f"{self._how.shown} sent garbage", why, "ask again")

    def _no_api(self, why: str) -> PolicyError:
        fix = "give the URL that ends in /v1; where it lists no model, name one: --model NAME"
        return PolicyError(f"{self._how.shown} is not an OpenAI-compatible endpoint", why, fix)

    def _parse(self, answer: bytes, *, any_kind: bool = False) -> Any:
        """The JSON object in an answer; of any kind where a bare list is an answer too."""
        try:
            document = decode(answer)
        except (ValueError, RecursionError) as error:
            raise self._garbage(answer) from error
        if any_kind or isinstance(document, dict):
            return document
        if isinstance(document, list) and document and isinstance(document[0], dict):
            return document[0]  # Gemini wraps its errors so
        raise self._garbage(answer)


def failed_wait_s(failed: UnavailableError) -> float:
    """How long an endpoint asked not to be called."""
    return failed.retry_after_s if isinstance(failed, OverloadedError) else 0.0


def _through(proxy: str | None) -> dict[str, Any]:
    """Arguments that send a request through a proxy, whose URL may hold a user and a password."""
    if proxy is None:
        return {}
    url = URL(proxy)
    if url.user is None:
        return {"proxy": url}
    token = base64.b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
    # aiohttp makes `Proxy-Authorization` of it, for CONNECT and for plain requests alike.
    return {"proxy": url.with_user(None), "proxy_headers": {"Authorization": f"Basic {token}"}}
