"""From what the user calls a policy to a plain `PolicySpec` that builds it in any worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentray.config import EngineConfig
from agentray.config.loading import validated
from agentray.errors import UsageError, closest
from agentray.models import KNOWN, resolve_model
from agentray.plugins import Seam
from agentray.policy.address import api_key, is_endpoint, looks_like_address, parse_address, shown_address
from agentray.policy.base import BasePolicy
from agentray.policy.http import HttpPolicy
from agentray.types import PolicySpec

POLICIES = Seam(
    "policy",
    {
        "expert": "agentray.policy.scripted:ExpertPolicy",
        "random": "agentray.policy.scripted:RandomPolicy",
    },
    "give the name of a policy, a known model or a model directory",
)


def resolve_policy(
    name: str,
    *,
    engine: EngineConfig,
    model: str | None = None,
    num_engines: int = 1,
    settings: Mapping[str, Any] | None = None,
    how: Mapping[str, Any] | None = None,
) -> PolicySpec:
    """Spec of a policy.

    Args:
        name: A registered policy (`expert`, `random`, a plugin), `http(s)://` endpoints with commas between,
            a model id or a model directory.
        engine: Settings of the engine, when `name` is a model.
        model: Model name to ask an endpoint for.
        num_engines: Engines that share the load, when `name` is a model.
        settings: Settings of a registered policy.
        how: Further arguments of the policy, when `name` is an endpoint.

    Raises:
        UsageError: `name` is none of these, an address needs correction, or a setting is wrong.
        MissingDependencyError: The policy is registered and cannot be imported.
    """
    if name in POLICIES.names():
        return _registered(name, settings or {})
    if settings:
        raise UsageError(
            f"policy {name!r} takes no policy_settings",
            f"it is an endpoint or a model; {', '.join(map(repr, settings))} given",
            "leave policy_settings out; see rollout.sampling and rollout.engine",
        )
    if is_endpoint(name):
        urls = addresses(name)
        kwargs = {"model": model, "timeout_s": None, **(how or {})}  # the router has a timeout
        replicas = tuple({"base_url": url} for url in urls)
        shown = model or shown_address(",".join(urls))
        return PolicySpec(shown, "agentray.policy.http:HttpPolicy", kwargs, replicas=replicas)
    if looks_like_address(name):
        parse_address(name)
    return PolicySpec(
        name,
        "agentray.serving.engine:VllmEngine",
        {"model": _model(name), "engine": engine.model_dump()},
        shared="run",
        num_gpus=engine.num_gpus,
        replicas=({},) * num_engines,
    )


def _registered(name: str, settings: Mapping[str, Any]) -> PolicySpec:
    """Spec of a policy that is registered by name, with checked settings."""
    kind = POLICIES.load(name)
    if not (isinstance(kind, type) and issubclass(kind, BasePolicy)):
        raise _not_a_policy(name, "it is not a subclass of agentray.policy.BasePolicy")
    if kind.knows_task and kind.shared != "attempt":
        raise _not_a_policy(name, f'it knows its task, so shared must be "attempt", not {kind.shared!r}')
    checked = validated(kind.Settings, "rollout.policy_settings", settings)
    return PolicySpec(
        name,
        POLICIES.entry_point(name),
        checked.model_dump(),
        paid=kind.paid,
        knows_task=kind.knows_task,
        shared=kind.shared,
    )


def _not_a_policy(name: str, why: str) -> UsageError:
    return UsageError(f"{name!r} cannot be used as a policy", why, f"correct {POLICIES.entry_point(name)}")


def _model(name: str) -> str:
    """Where to load a model from.

    Raises:
        UsageError: There is no such model, and no policy of that name.
    """
    try:
        return resolve_model(name)
    except UsageError as error:
        if Path(name).expanduser().is_dir():  # it is incomplete
            raise
        known = closest(name, [*POLICIES.names(), *KNOWN])
        raise UsageError(f"no policy {name!r}", f"no such directory; {known}", POLICIES.hint) from error


def addresses(policy: str) -> list[str]:
    """The endpoints in a policy's name, checked along with the key.

    Raises:
        UsageError: An address or the key is not valid.
    """
    api_key()
    urls = [url.strip() for url in policy.split(",") if url.strip()]
    for url in urls:
        parse_address(url)
    return urls


def served_name(url: str, model: str | None = None, *, must_list: bool = False) -> str:
    """The model that an endpoint serves: the one asked for, or its first.

    Raises:
        UsageError: The address or the key is not valid.
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
