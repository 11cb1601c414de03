"""Serves a model: checks first, deploys on Ray Serve, waits until it answers, stops what it started.

Command: `agentray serve --model runs/train/model --port 8000`.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from agentray.cluster import connected
from agentray.compat import serve_controller
from agentray.config import ServeConfig
from agentray.errors import AgentrayError, ResourceError, UsageError
from agentray.models import resolve_model
from agentray.serving.app import KEY_VARIABLE, build, served_name
from agentray.serving.engine import require_vllm

_APPLICATION = "agentray"
_STOP_TIMEOUT_S = 30.0
_log = logging.getLogger(__name__)
_OVERHEAD_BYTES = 2 * 2**30
"""What the engine's three processes take beside weights and cache; measured 1.6 GiB with SmolLM2-135M."""


@contextmanager
def serving(config: ServeConfig) -> Iterator[str]:
    """An endpoint that answers inside the block; afterwards it is gone, and Ray too if this started it.

    Yields:
        Base URL for OpenAI clients, `http://host:port/v1`.

    Raises:
        UsageError: The model is unknown or its directory incomplete.
        MissingDependencyError: vLLM is not installed.
        ResourceError: Port, memory or CPUs are short, or the model did not load in time.
    """
    preflight(config)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    with connected():
        from ray import serve

        logging.getLogger("ray").setLevel(logging.WARNING)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        if serve.status().proxies:
            raise ResourceError(
                "Ray Serve already runs in this cluster",
                "its address cannot be changed while it runs",
                "stop it with `serve shutdown`, or deploy beside it: serve deploy serve/agentlm.yaml",
            )
        try:
            _deploy(config)
            yield base_url(config)
        finally:
            _stop()


def run(config: ServeConfig) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    started = time.monotonic()
    stop = threading.Event()
    with serving(config) as url:
        # Only now: `ray.init` puts its own handler for SIGTERM in place.
        previous = {
            each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            print(_banner(config, url, time.monotonic() - started), file=sys.stderr, flush=True)
            while not stop.wait(1.0):
                pass
            print("stopping", file=sys.stderr, flush=True)
        finally:
            for each, handler in previous.items():
                signal.signal(each, handler)


def preflight(config: ServeConfig) -> None:
    """Check all that can be checked before anything starts."""
    require_vllm()
    _check_port(config.host, config.port)
    _check_memory(config, Path(resolve_model(config.model)))


def base_url(config: ServeConfig) -> str:
    """Address for a client on this machine."""
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::", "localhost") else config.host
    return f"http://{f'[{host}]' if ':' in host else host}:{config.port}/v1"


def available_bytes() -> int:
    """Memory that programs can still get."""
    return int(psutil.virtual_memory().available)


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return
        except OSError as error:
            why = error.strerror or str(error)
    with socket.socket(family) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise UsageError(
                f"cannot bind to {host!r}", error.strerror or str(error), "--host 127.0.0.1"
            ) from error
        free = probe.getsockname()[1]
    raise ResourceError(f"port {port} on {host} is in use", why, f"take a free one: --port {free}")


def _check_memory(config: ServeConfig, model: Path) -> None:
    """On CPU, weights and cache must fit into what is free now."""
    available = available_bytes()
    if config.engine.num_gpus or not model.is_dir():
        return
    weights = sum(file.stat().st_size for file in model.glob("*.safetensors"))
    if config.engine.dtype == "float32":
        weights *= 2  # stored as bfloat16, as a rule
    engine = weights + int(config.engine.kv_cache_gib * 2**30) + _OVERHEAD_BYTES
    needed = engine * config.num_replicas
    if needed > available:
        raise ResourceError(
            f"not enough memory to serve {config.model!r}",
            f"it takes about {needed / 2**30:.1f} GiB and {available / 2**30:.1f} GiB are free",
            "end other programs, take a smaller model, or less cache: "
            f"--set serve.engine.kv_cache_gib={config.engine.kv_cache_gib / 2:g}",
        )


def _deploy(config: ServeConfig) -> None:
    """Start Serve bound to the address, deploy, and wait until a client would get an answer."""
    from ray import serve

    deadline = time.monotonic() + config.engine.start_timeout_s
    application = build(config.model_dump())
    quiet = {"log_level": "WARNING", "enable_access_log": False}
    serve.start(
        proxy_location="HeadOnly",
        http_options={"host": config.host, "port": config.port},
        logging_config=quiet,
    )
    serve.run_many(
        [serve.RunTarget(application, name=_APPLICATION, logging_config=quiet)],
        wait_for_ingress_deployment_creation=False,
        wait_for_applications_running=False,
    )
    _check_cpus(config.num_replicas)
    while not _is_running(serve.status().applications.get(_APPLICATION)) or not _answers(config):
        if time.monotonic() > deadline:
            raise ResourceError(
                f"model {config.model!r} was not served within {config.engine.start_timeout_s:g} s",
                _state(serve.status().applications.get(_APPLICATION)),
                "see /tmp/ray/session_latest/logs/serve, or wait longer: "
                f"--set serve.engine.start_timeout_s={4 * config.engine.start_timeout_s:g}",
            )
        time.sleep(0.25)


def _stop() -> None:
    """Stop Serve.

    `serve.shutdown` alone does it too, but the controller dies during that call, and Ray then says on stdout
    that it will be retried; this asks for no retries.
    """
    import ray
    from ray import serve

    try:
        controller = ray.get_actor(*serve_controller())
        ray.get(controller.graceful_shutdown.options(max_task_retries=0).remote(), timeout=_STOP_TIMEOUT_S)
    except (ValueError, ray.exceptions.RayActorError):
        pass  # it is gone, as it should be
    except ray.exceptions.GetTimeoutError:
        _log.warning("Ray Serve did not stop within %g s", _STOP_TIMEOUT_S)
    serve.shutdown()


def _check_cpus(num_replicas: int) -> None:
    """Serve waits without an error for CPUs that the cluster will never have."""
    import ray

    total = ray.cluster_resources().get("CPU", 0)
    if total < num_replicas:
        raise ResourceError(
            f"{num_replicas} replicas want {num_replicas} CPUs",
            f"the cluster has {total:g}",
            f"--set serve.num_replicas={int(total)}" if total >= 1 else "add a node with CPUs to the cluster",
        )


def _is_running(application: Any) -> bool:
    """True when all replicas are up.

    Raises:
        AgentrayError: Serve has given up.
    """
    state = getattr(application, "status", None)
    if state == "DEPLOY_FAILED":
        raise _failed(application)
    return bool(state == "RUNNING")


def _failed(application: Any) -> AgentrayError:
    return ResourceError(
        "the model could not be served",
        _state(application),
        "see /tmp/ray/session_latest/logs/serve for the whole story",
    )


def _state(application: Any) -> str:
    """The last line of what Serve says about the first deployment that is not well."""
    if application is None:
        return "Ray Serve has not created it"
    messages = [each.message for each in application.deployments.values() if each.status != "HEALTHY"]
    lines = [line.strip() for message in [*messages, application.message] for line in message.splitlines()]
    return next((line for line in reversed(lines) if line), str(application.status.value))


def _answers(config: ServeConfig) -> bool:
    """True when `/v1/models` answers through the proxy."""
    request = urllib.request.Request(f"{base_url(config)}/models")
    if key := os.environ.get(KEY_VARIABLE):
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _banner(config: ServeConfig, url: str, took_s: float) -> str:
    name = served_name(config)
    key = ' -H "Authorization: Bearer $AGENTRAY_API_KEY"' if os.environ.get(KEY_VARIABLE) else ""
    body = f'{{"model": "{name}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    lines = [
        f"serving {name} at {url} after {took_s:.0f} s; Ctrl-C stops it",
        f"  curl {url}/chat/completions -H 'Content-Type: application/json'{key} -d '{body}'",
    ]
    if not key and config.host not in ("127.0.0.1", "localhost", "::1"):
        lines.append(f"  warning: {config.host} can be reached from outside and no {KEY_VARIABLE} is set")
    return "\n".join(lines)
