"""Where an endpoint is and how it wants the key: read once from what the user typed, then only joined."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from agentray.errors import UsageError, without_secrets

API_KEY_VARIABLE = "AGENTRAY_API_KEY"
_CALLS = ("/chat/completions", "/completions", "/responses", "/messages", "/models", "/embeddings")
"""Paths of single calls, which users copy along with the address."""
_BARE = re.compile(
    r"(?:localhost|\[[0-9a-fA-F:]+\]|[\w-]+(?:\.[\w-]+)*)(?::\d+)(?:/.*)?|(?:[\w-]+\.)+[\w-]+/v\d.*"
)
"""An address without its scheme."""
_LOOPBACK = ("localhost", "127.", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint's address, taken apart."""

    base: str
    """What the calls' paths follow, without credentials or query."""
    query: str
    """What follows the path, with its question mark: Azure's `?api-version=...`, or nothing."""
    user: str | None
    """`user:password` of the URL."""

    @property
    def shown(self) -> str:
        """The address for people and files: without anything secret."""
        version = [(name, value) for name, value in parse_qsl(self.query[1:]) if name == "api-version"]
        return self.base + ("?" + urlencode(version) if version else "")

    def url(self, call: str) -> str:
        """Where to send a call, e.g. `/models`."""
        return self.base + call + self.query

    @property
    def root(self) -> str:
        """The server itself."""
        parts = urlsplit(self.base)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def names_version(self) -> bool:
        """Whether it looks like that of an API: it ends in a version, as all but Azure's do."""
        return re.search(r"/v\d|/deployments/", self.base) is not None

    @property
    def deployment(self) -> str | None:
        """The model that Azure's address names."""
        found = re.search(r"/deployments/([^/]+)", self.base)
        return unquote(found[1]) if found else None

    def headers(self, key: str | None) -> dict[str, str]:
        """How it expects the key."""
        found: dict[str, str] = {}
        azure = "api-version=" in self.query or urlsplit(self.base).netloc.endswith(".azure.com")
        if key and (azure or self.user):
            found["api-key"] = key
        if self.user:
            found["Authorization"] = "Basic " + base64.b64encode(self.user.encode()).decode()
        elif key and (not azure or key.startswith("eyJ")):  # Azure takes its tokens, which are JWTs, this way
            found["Authorization"] = f"Bearer {key}"
        return found

    def proxy(self) -> str | None:
        """The proxy that `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name for it; none on loopback.

        Raises:
            UsageError: It is of a kind that is not supported.
        """
        parts = urlsplit(self.base)
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if not proxy or (parts.hostname or "").startswith(_LOOPBACK) or proxy_bypass(parts.netloc):
            return None
        if "://" not in proxy:
            proxy = f"http://{proxy}"
        if not proxy.lower().startswith(("http://", "https://")):
            raise UsageError(
                f"the proxy {proxy!r} cannot be used",
                "proxies are reached by http:// or https://",
                f"set {parts.scheme.upper()}_PROXY to one of those, or put {parts.hostname} into NO_PROXY",
            )
        return proxy


def is_endpoint(policy: str) -> bool:
    """Whether a policy's name is the address of an endpoint, or of several."""
    return policy.lstrip().lower().startswith(("http://", "https://"))


def looks_like_address(policy: str) -> bool:
    """Whether a name that is no endpoint was probably meant as one."""
    return "://" in policy or re.match(r"https?[:/]", policy) is not None or bool(_BARE.fullmatch(policy))


def parse_address(text: str, option: str = "--policy") -> Address:
    """The address that a user typed.

    Args:
        text: `http(s)://[user:password@]host[:port]/path[?query]`.
        option: What the user gives it with, for the message.

    Raises:
        UsageError: It is not an address, or that of a single call; the message says what to type.
    """
    url = text.strip()
    if not is_endpoint(url):
        end = re.sub(r"^\w*:?/{0,2}", "", url) if re.match(r"\w*(://|:/|//)", url) else url
        raise _no_url(
            url, "it does not begin with http:// or https://", f"give {option} http://{end or 'HOST/v1'}"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _no_url(url, str(error), f"give {option} http://HOST:PORT/v1") from error
    if not parts.hostname or re.search(r"\s", url) or port == 0:
        raise _no_url(url, "host or port is missing or wrong", f"give {option} http://HOST:PORT/v1")
    address = _address(parts)
    for call in _CALLS:
        if address.base.endswith(call):
            base = Address(address.base.removesuffix(call), address.query, address.user)
            raise UsageError(
                f"{address.shown} is the address of one call",
                f"{call} is added to what you give",
                f"give {option} {base.shown}",
            )
    return address


def _address(parts: SplitResult) -> Address:
    user, _, host = parts.netloc.rpartition("@")
    base = f"{parts.scheme}://{host}{parts.path}".rstrip("/")
    return Address(base, f"?{parts.query}" if parts.query else "", unquote(user) if user else None)


def _no_url(url: str, why: str, fix: str) -> UsageError:
    return UsageError(f"{without_secrets(url)!r} is not a URL", why, fix)


def shown_address(text: str) -> str:
    """What may be shown of an address; of several, of each."""
    return ",".join(_shown(each) for each in text.split(","))


def _shown(text: str) -> str:
    try:
        return parse_address(text).shown
    except UsageError:
        return without_secrets(text)


def target(address: Address, location: str) -> str | None:
    """The address to give instead of one that redirects; None where it leads to no API."""
    parts = urlsplit(location if "://" in location else address.root + location)
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
    for call in _CALLS:
        if base.endswith(call):
            return base.removesuffix(call)
    return None


def api_key(environment: Mapping[str, str] = os.environ) -> str | None:
    """The key to send; None where none is set.

    Raises:
        UsageError: It cannot be a key.
    """
    key = environment.get(API_KEY_VARIABLE, "").strip().strip("'\"").strip()
    key = key[7:].strip() if key.lower().startswith("bearer ") else key
    wrong = next((each for each in key if not "!" <= each <= "~"), None)
    if wrong is not None:
        kind = (
            "a line break"
            if wrong in "\r\n"
            else "white space"
            if wrong.isspace()
            else "a character no key has"
        )
        raise UsageError(
            f"{API_KEY_VARIABLE} holds no key",
            f"there is {kind} in it",
            f"set {API_KEY_VARIABLE} to the key alone",
        )
    return key or None
