"""Joining a Ray cluster that is not there."""

import platform
import socket

import pytest
import ray
from ports import free_port

from agentray import cluster
from agentray.cluster import connected
from agentray.errors import ResourceError


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "127.0.0.1:x"])
def test_a_cluster_that_does_not_answer_is_refused_at_once(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address.format(port=free_port()))
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(ResourceError, match="no Ray cluster at RAY_ADDRESS"), connected():
        pass


@pytest.fixture
def mute():
    """The address of something that listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def join(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(ResourceError) as caught, connected():
        pass
    return caught.value


def test_something_else_at_the_address_is_not_waited_for(mute, monkeypatch):
    monkeypatch.setattr(cluster, "_PROBE_TIMEOUT_S", 0.5)
    assert "did not answer as Ray does" in join(monkeypatch, mute).why


@pytest.mark.parametrize(
    ("told", "why", "fix"),
    [
        ({"ray_version": "2.46.0", "python_version": platform.python_version()}, "Ray 2.46.0", "ray==2.46.0"),
        ({"ray_version": ray.__version__, "python_version": "2.7.1"}, "Python 2.7.1", "unset RAY_ADDRESS"),
        ({"error": "RpcError: UNAUTHENTICATED: no token"}, "UNAUTHENTICATED", "RAY_AUTH_TOKEN"),
        ({"error": "RpcError: timed out"}, "timed out", "start that cluster"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_one_error(mute, monkeypatch, told, why, fix):
    monkeypatch.setattr(cluster, "_probed", lambda address: told)
    error = join(monkeypatch, mute)
    assert why in error.why and fix in error.fix


def test_what_ray_itself_refuses_is_one_error(mute, monkeypatch):
    def refuse(**options):
        raise RuntimeError("Version mismatch: the cluster was started with 2.46.0\nand more")

    monkeypatch.setattr(cluster, "_probed", lambda address: {})
    monkeypatch.setattr("ray.init", refuse)
    assert join(monkeypatch, mute).why == "Version mismatch: the cluster was started with 2.46.0"
