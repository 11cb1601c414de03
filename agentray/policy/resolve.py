"""From what the user calls a policy to a plain `PolicySpec` that builds it in any worker."""

from __future__ import annotations

from typing import Any

from agentray.config import EngineConfig
from agentray.models import resolve_model
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
) -> PolicySpec:
    """Spec of a policy.

    Args:
        name: `expert`, `random`, `http(s)://` endpoints with commas between, a model id or a model directory.
        engine: Settings of the engine, when `name` is a model.
        model: Model name to ask an endpoint for.
        num_engines: Engines that share the load, when `name` is a model.

    Raises:
        UsageError: `name` is none of these.
    """
    if name in _SCRIPTED:
        return PolicySpec(name, _SCRIPTED[name], scope="task")
    if name.startswith(("http://", "https://")):
        kwargs: dict[str, Any] = {"model": model, "timeout_s": None}  # the router has a timeout
        replicas = tuple({"base_url": url.strip()} for url in name.split(",") if url.strip())
        return PolicySpec(model or name, "agentray.policy.http:HttpPolicy", kwargs, replicas=replicas)
    kwargs = {"model": resolve_model(name), "engine": engine.model_dump()}
    return PolicySpec(
        name,
        "agentray.serving.engine:VllmEngine",
        kwargs,
        scope="actor",
        num_gpus=engine.num_gpus,
        replicas=({},) * num_engines,
    )
