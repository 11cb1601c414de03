"""Connecting to Ray: the cluster of this job, the one `RAY_ADDRESS` names, or a local one of ours."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentray.errors import AgentrayError, ResourceError

MIN_CPUS = 4
"""Least logical CPUs of a local Ray: Serve's engine, server and ingress want one each, and wait without an
error where there are fewer. Real cores are shared by the operating system, not by Ray."""

_PROBE_TIMEOUT_S = 20.0
"""Longest wait for a cluster to say which version it is."""


@contextmanager
def connected(**options: Any) -> Iterator[None]:
    """Be connected to Ray inside the block; a local Ray that this call started is stopped after it.

    Args:
        options: Passed to `ray.init` when a local Ray is started.

    Raises:
        ResourceError: `RAY_ADDRESS` names a cluster that does not answer, or has another version.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    if address:
        _join(address)
    else:
        num_cpus = max(MIN_CPUS, os.cpu_count() or 1)
        defaults = {
            "num_cpus": num_cpus,
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": "ERROR",
        }
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(address="local", **{**defaults, **options})
    try:
        yield
    finally:
        ray.shutdown()


def listens(address: str) -> bool:
    """Whether something takes connections at `host:port`, with or without a scheme before it."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=3):
            return True
    except (OSError, ValueError):
        return False


def _join(address: str) -> None:
    """Connect to a running cluster; Ray itself would wait for a dead one for minutes."""
    import ray

    if ":" in address:
        if not listens(address):
            raise _no_cluster(address, "nothing listens there")
        _check_version(address, _probed(address))
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(address, str(error)) from error


def _probed(address: str) -> dict[str, Any]:
    """What a cluster says of itself, or an `error`; in a process of its own, since Ray would wait minutes."""
    command = [sys.executable, "-m", "agentray.compat", address]
    environment = {**os.environ, "RAY_ADDRESS": ""}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"error": f"what listens there did not answer as Ray does within {_PROBE_TIMEOUT_S:g} s"}
    try:
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return {"error": last[-300:]}


def _check_version(address: str, found: dict[str, Any]) -> None:
    """Refuse a cluster that cannot be joined.

    Raises:
        ResourceError: It does not answer as Ray does, wants a token, or has another version.
    """
    import ray

    error = found.get("error")
    if error and any(word in error.lower() for word in ("unauthenticated", "token", "permission")):
        raise ResourceError(
            f"the Ray cluster at RAY_ADDRESS={address} refuses this process",
            error,
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's token",
        )
    if error:
        raise _no_cluster(address, error)
    ours = {"ray_version": ray.__version__, "python_version": platform.python_version()}
    theirs = {name: found.get(name, version) for name, version in ours.items()}
    if theirs["ray_version"] != ours["ray_version"] or _minor(theirs) != _minor(ours):
        raise ResourceError(
            f"the Ray cluster at RAY_ADDRESS={address} has another version",
            f"it runs Ray {theirs['ray_version']} on Python {theirs['python_version']}, this process Ray "
            f"{ours['ray_version']} on Python {ours['python_version']}",
            f'pip install "ray=={theirs["ray_version"]}", or unset RAY_ADDRESS for a local one',
        )


def _minor(versions: dict[str, str]) -> list[str]:
    return versions["python_version"].split(".")[:2]


def _no_cluster(address: str, why: str) -> ResourceError:
    return ResourceError(
        f"no Ray cluster at RAY_ADDRESS={address}",
        (why.splitlines() or ["it does not answer"])[0],
        "start that cluster, or unset RAY_ADDRESS for a local one",
    )


def cause(error: BaseException) -> BaseException:
    """The user's error inside what Ray wraps around it."""
    inner = getattr(error, "cause", None)
    return inner if isinstance(inner, AgentrayError) else error
