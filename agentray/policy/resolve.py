"""From what the user calls a policy to a plain `PolicySpec` that builds it in any worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from agentray.config import EngineConfig
from agentray.models import resolve_model
from agentray.policy.address import api_key, is_endpoint, looks_like_address, parse_address, shown_address
from agentray.policy.http import HttpPolicy
from agentray.types import PolicySpec

_SCRIPTED = {
    "expert": "agentray.policy.scripted:ExpertPolicy",
    "random": "agentray.policy.scripted:RandomPolicy",
}


def resolve_policy(
    name: str,
    *,
    engine: EngineConfig,
    model: str | None = None,
    num_engines: int = 1,
    how: Mapping[str, Any] | None = None,
) -> PolicySpec:
    """Spec of a policy.

    Args:
        name: `expert`, `random`, `http(s)://` endpoints with commas between, a model id or a model directory.
        engine: Settings of the engine, when `name` is a model.
        model: Model name to ask an endpoint for.
        num_engines: Engines that share the load, when `name` is a model.
        how: Further arguments of the policy, when `name` is an endpoint.

    Raises:
        UsageError: `name` is none of these, or an address that needs correction.
    """
    if name in _SCRIPTED:
        return PolicySpec(name, _SCRIPTED[name], scope="task")
    if is_endpoint(name):
        urls = addresses(name)
        kwargs: dict[str, Any] = {
            "model": model,
            "timeout_s": None,
            **(how or {}),
        }  # the router has a timeout
        replicas = tuple({"base_url": url} for url in urls)
        shown = model or shown_address(",".join(urls))
        return PolicySpec(shown, "agentray.policy.http:HttpPolicy", kwargs, replicas=replicas)
    if looks_like_address(name):
        parse_address(name)
    kwargs = {"model": resolve_model(name), "engine": engine.model_dump()}
    return PolicySpec(
        name,
        "agentray.serving.engine:VllmEngine",
        kwargs,
        scope="actor",
        num_gpus=engine.num_gpus,
        replicas=({},) * num_engines,
    )


def addresses(policy: str) -> list[str]:
    """The endpoints in a policy's name, checked along with the key.

    Raises:
        UsageError: One is no address, or the key is none.
    """
    api_key()
    urls = [url.strip() for url in policy.split(",") if url.strip()]
    for url in urls:
        parse_address(url)
    return urls


def served_name(url: str, model: str | None = None, *, must_list: bool = False) -> str:
    """The model that an endpoint serves: the one asked for, or its first.

    Raises:
        UsageError: The address or the key is none.
        PolicyError: It does not answer, or does not list the model although it must.
    """

    async def check() -> str:
        policy = HttpPolicy(url, model, must_list=must_list)
        try:
            await policy.ready()
        finally:
            await policy.close()
        return policy.model or ""

    return asyncio.run(check())
