"""Connecting to Ray: the cluster of this job, the one `RAY_ADDRESS` names, or a local one of ours."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentray.errors import AgentrayError, ResourceError

MIN_CPUS = 4
"""Least logical CPUs of a local Ray: Serve's engine, server and ingress want one each, and wait without an
error where there are fewer. Real cores are shared by the operating system, not by Ray."""


@contextmanager
def connected(**options: Any) -> Iterator[None]:
    """Be connected to Ray inside the block; a local Ray that this call started is stopped after it.

    Args:
        options: Passed to `ray.init` when a local Ray is started.

    Raises:
        ResourceError: `RAY_ADDRESS` names a cluster that does not answer.
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

    try:
        if ":" in address and not listens(address):
            raise ConnectionError("nothing listens there")
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise ResourceError(
            f"no Ray cluster at RAY_ADDRESS={address}",
            str(error).splitlines()[0],
            "start that cluster, or unset RAY_ADDRESS for a local one",
        ) from error


def cause(error: BaseException) -> BaseException:
    """The user's error inside what Ray wraps around it."""
    inner = getattr(error, "cause", None)
    return inner if isinstance(inner, AgentrayError) else error
