"""The Ray Serve application: an OpenAI-compatible endpoint on vLLM, with a key and a note of what it serves.

`ray.serve.llm` brings the engine and the routes. Added here: sizes that fit a two-core machine (stock ones
want three CPUs and wait for ever without an error), the API key, and the model's origin on `/v1/models`.

    serve run serve/agentlm.yaml
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agentray import compat
from agentray.config import ServeConfig
from agentray.errors import DataError, UsageError
from agentray.models import CARD, resolve_model
from agentray.serving.engine import engine_arguments, environment, require_vllm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ray.serve import Application
    from ray.serve.llm import LLMConfig

KEY_VARIABLE = "AGENTRAY_API_KEY"
"""Environment variable with the key that requests must carry; unset or empty asks for none."""
_CARD_KEYS = ("base_model", "checkpoint", "eta", "dataset")


def build(args: Mapping[str, Any]) -> Application:
    """Application for a Serve config file or `serve.run`.

    Args:
        args: Fields of `ServeConfig`; `host` and `port` are set in Serve's own config.

    Raises:
        UsageError: A setting is wrong, or the model directory is incomplete.
        MissingDependencyError: vLLM is not installed.
    """
    try:
        config = ServeConfig.model_validate(dict(args))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise UsageError(
            f"setting {key!r} is wrong", problem["msg"], "correct `args` in the Serve config file"
        ) from error
    require_vllm()
    model = resolve_model(config.model)
    settings = environment(model, config.engine)
    os.environ.update(settings)  # building imports vLLM here, too
    from ray import serve
    from ray.serve.llm import build_llm_deployment
    from ray.serve.llm.ingress import OpenAiIngress, make_fastapi_ingress

    name = served_name(config)
    options = {"ray_actor_options": {"num_cpus": 0}, "max_ongoing_requests": 10_000}
    ingress = make_fastapi_ingress(OpenAiIngress, app=_web_app(os.environ.get(KEY_VARIABLE, "")))
    server = build_llm_deployment(_llm_config(config, name, model, settings))
    return serve.deployment(ingress, **options).bind(
        llm_deployments={name: server},
        model_cards={name: model_card(name, config, provenance(Path(model)))},
    )


def served_name(config: ServeConfig) -> str:
    """Name that clients ask for: the given one, else the model's; `runs/a/model` is called `a`."""
    if config.name:
        return config.name
    path = Path(config.model).expanduser()
    if not path.is_dir():
        return config.model
    path = Path(os.path.abspath(path))  # not `resolve`: a link has the name that the user gave it
    return path.parent.name if path.name == "model" else path.name


def provenance(model: Path) -> dict[str, Any]:
    """Where a model directory comes from; empty when it does not say.

    Raises:
        DataError: Its `agentray.json` is not a JSON object.
    """
    path = model / CARD
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {key: document[key] for key in _CARD_KEYS if key in document}
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise DataError(f"cannot read {str(path)!r}", f"not a JSON object: {error}", "correct it") from error


def model_card(name: str, config: ServeConfig, origin: Mapping[str, Any]) -> Any:
    """What `/v1/models` says about the model."""
    facts = {"model": config.model, "max_model_len": config.engine.max_model_len, **origin}
    return compat.model_card(name, facts)


class ApiKey:
    """ASGI layer that answers 401 unless the request carries `Authorization: Bearer KEY`.

    It holds the key's hash only: the application is pickled into Ray's store, where the key does not belong.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], digest: bytes) -> None:
        self._app = app
        self._digest = digest

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] == "http" and not self._allows(scope["headers"]):
            await _refuse(send)
        else:
            await self._app(scope, receive, send)

    def _allows(self, headers: list[tuple[bytes, bytes]]) -> bool:
        given = [value for name, value in headers if name.lower() == b"authorization"]
        scheme, _, key = given[0].partition(b" ") if given else (b"", b"", b"")
        return scheme.lower() == b"bearer" and hmac.compare_digest(_digest(key.strip()), self._digest)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


async def _refuse(send: Any) -> None:
    error = {
        "message": "missing or wrong API key: send `Authorization: Bearer KEY`",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _web_app(key: str) -> Any:
    """Ray's FastAPI application, with the key asked for before anything else runs."""
    from starlette.middleware.cors import CORSMiddleware

    app = compat.ingress_app()
    # Ray lets every web page's script call the endpoint; a page has no business on this machine's loopback.
    app.user_middleware = [each for each in app.user_middleware if each.cls is not CORSMiddleware]
    if key:
        app.add_middleware(ApiKey, digest=_digest(key.encode()))
    return app


def _llm_config(config: ServeConfig, name: str, model: str, settings: Mapping[str, str]) -> LLMConfig:
    from ray.serve.llm import LLMConfig

    engine = config.engine
    bundle: dict[str, float] = {"CPU": 1}
    if engine.num_gpus:
        bundle["GPU"] = min(engine.num_gpus, 1)
    return LLMConfig(
        model_loading_config={"model_id": name, "model_source": model},
        engine_kwargs=engine_arguments(engine),
        # One CPU in all: the server shares the engine's bundle and the ingress reserves none.
        placement_group_config={"bundle_per_worker": bundle},
        deployment_config={
            "num_replicas": config.num_replicas,
            "ray_actor_options": {"num_cpus": 0},
            "max_ongoing_requests": 10_000,
        },
        runtime_env={"env_vars": dict(settings)},
        log_engine_metrics=False,
    )
