"""The cluster file is what Ray accepts, and opens no port it should not."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster():
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


def test_ray_accepts_the_file(cluster):
    validate_config(prepare_config(copy.deepcopy(cluster)))


def test_ray_refuses_a_misspelt_key(cluster):
    cluster["available_node_type"] = {}
    with pytest.raises(Exception, match="available_node_type"):
        validate_config(prepare_config(cluster))


def test_the_node_types_are_a_head_and_three_kinds_of_worker(cluster):
    types = cluster["available_node_types"]
    assert set(types) == {"head", "cpu_rollout", "gpu_train", "gpu_serve"}
    assert cluster["head_node_type"] == "head"
    assert types["head"]["resources"] == {"CPU": 0}
    assert "GPU" not in types["cpu_rollout"]["resources"]
    assert types["gpu_train"]["resources"]["GPU"] > types["gpu_serve"]["resources"]["GPU"] == 1
    workers = [node for name, node in types.items() if name != "head"]
    assert all(node["min_workers"] == 0 for node in workers)
    assert sum(node["max_workers"] for node in workers) == cluster["max_workers"]


def test_the_dashboard_stays_on_loopback_and_every_node_asks_for_the_token(cluster):
    head, worker = cluster["head_start_ray_commands"][-1], cluster["worker_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head
    assert "RAY_AUTH_MODE=token" in head and "RAY_AUTH_MODE=token" in worker
    assert "0.0.0.0" not in head + worker
    assert all("SecurityGroupIds" in node["node_config"] for node in cluster["available_node_types"].values())


def test_nodes_install_from_locks_that_agree_on_ray(cluster):
    setup = " ".join(cluster["setup_commands"])
    assert "requirements/$lock.lock" in setup and "--no-deps" in setup
    assert cluster["file_mounts"]["~/agentray/requirements"] == "requirements"
    locks = [(ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8") for name in ("cpu", "gpu")]
    for package in ("ray", "uv"):
        pins = {tuple(re.findall(rf"^{package}==(\S+)", lock, re.MULTILINE)) for lock in locks}
        assert len(pins) == 1 and len(next(iter(pins))) == 1
    recipe = (ROOT / "requirements" / "lock.sh").read_text(encoding="utf-8")
    python = re.search(r"--python-version (\S+)", recipe).group(1)
    assert python == re.search(r"--python (\d\S+)", setup).group(1)
