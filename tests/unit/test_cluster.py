"""Joining a Ray cluster that is not there."""

import pytest
from ports import free_port

from agentray.cluster import connected
from agentray.errors import ResourceError


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "ray://127.0.0.1:{port}", "127.0.0.1:x"])
def test_a_cluster_that_does_not_answer_is_refused_at_once(address, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", address.format(port=free_port()))
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(ResourceError, match="no Ray cluster at RAY_ADDRESS"), connected():
        pass
