"""What a rollout survives: dead nodes, workers and engines, and a second driver on its directory."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from agentray.cli.app import main
from agentray.config import RolloutConfig
from agentray.data.lock import owner
from agentray.data.runs import PLAN, show
from agentray.data.store import read_run
from agentray.rollout.run import run
from agentray.types import PolicySpec, Reply

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]
ENDPOINT = Path(__file__).parents[2] / "benchmarks" / "endpoint.py"
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # else Ray looks for 127.0.0.1 at the outward address
OUTCOMES = ("completed", "truncated", "failed", "running", "waiting")


@pytest.fixture
def url():
    """A mock endpoint that answers the counting game after 50 ms."""
    command = [sys.executable, ENDPOINT, "--latency", "0.05"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=30)  # it ends with its standard input


@pytest.fixture
def cluster(tmp_path):
    """A head and two nodes, in a process of their own: this one may be connected to another Ray."""
    folder = tempfile.mkdtemp(prefix="agentray-")  # a short name: it holds sockets
    command = [sys.executable, __file__]
    environment = {**os.environ, "RAY_TMPDIR": folder}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            address = process.stdout.readline().strip()
            assert address, (tmp_path / "log").read_text()[-2000:]
            yield address, process
        finally:
            process.communicate(timeout=60)
            shutil.rmtree(folder, ignore_errors=True)


def rollout(out, url, num_tasks, *more, **settings):
    """The command of a run of five-turn games."""
    command = [sys.executable, "-m", "agentray", "rollout", "--env", "count", "--policy", url, "--json"]
    command += ["--num-tasks", str(num_tasks), "--out", str(out), "--set", "env.count.length=5", *more]
    return command + [
        part for name, value in settings.items() for part in ("--set", f"rollout.{name}={value}")
    ]


def start(command, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        command,
        env={**inherited, "NO_PROXY": "127.0.0.1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(reached, driver, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not reached():
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def finish(driver, timeout_s=90):
    """The summary of a driver that succeeds."""
    output, messages = driver.communicate(timeout=timeout_s)
    assert driver.returncode == 0, output + messages[-3000:]
    return json.loads(output)


def completed(out):
    return show(out, {"count": 1.0}).completed if (out / PLAN).exists() else 0


def keys(out):
    return [each.key for each in read_run(out).trajectories if each.status == "completed"]


def test_a_run_survives_the_loss_of_a_node(cluster, url, tmp_path):
    address, process = cluster
    out = tmp_path / "run"
    driver = start(rollout(out, url, 200, num_workers=4, in_flight=8), RAY_ADDRESS=address, **LOOPBACK)
    try:
        until(lambda: completed(out) >= 80, driver)
        process.stdin.write("remove\n")
        process.stdin.flush()
        died = json.loads(process.stdout.readline())
        summary = finish(driver)
    finally:
        driver.kill()
    assert died and summary["lost_workers"] > 0
    assert (summary["planned"], summary["completed"], summary["failed"]) == (200, 200, 0)
    assert len(keys(out)) == len(set(keys(out))) == 200
    events = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    why = [event["why"] for event in events if event["event"] == "worker_lost"]
    # Of one that had not told its place yet, the process is not known.
    assert any(f"process {each} on" in reason for reason in why for each in died), why


def test_a_run_survives_the_death_of_its_engine(local_ray, tmp_path, monkeypatch):
    starts = tmp_path / "starts"
    spec = PolicySpec("mortal", f"{__name__}:MortalEngine", {"starts": str(starts)}, shared="run")
    monkeypatch.setattr("agentray.rollout.provenance.resolve_policy", lambda *args, **kwargs: spec)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    settings = {"env": {"count": {"length": 5}}, "num_tasks": 12, "num_workers": 2, "in_flight": 2}
    chaos = {"kill-engine": 0.12}
    summary = run(
        RolloutConfig(envs=["count"], out=tmp_path / "run", max_retries=20, chaos=chaos, **settings)
    )
    assert len(starts.read_text().splitlines()) > 1
    assert (summary.completed, summary.failed, summary.mean_reward) == (12, 0, {"count": 1.0})
    assert len(set(keys(tmp_path / "run"))) == 12


class MortalEngine:
    """Plays the counting game, notes each of its lives, and dies in the first of them."""

    def __init__(self, starts):
        with open(starts, "a+") as stream:
            stream.write(f"{os.getpid()}\n")
            stream.seek(0)
            self._calls_left = 10 if len(stream.readlines()) == 1 else None

    async def ready(self):
        pass

    async def act(self, messages, sampling, info):
        if self._calls_left is not None:
            self._calls_left -= 1
            if self._calls_left < 0:
                os._exit(1)
        last = int(re.findall(r"-?\d+", messages[-1].content)[-1])
        return Reply(f"Action: {last + 1}", finish_reason="stop")

    async def close(self):
        pass


def test_the_counts_add_up_while_chaos_kills_actors_and_after_it(url, tmp_path, capsys):
    out = tmp_path / "run"
    # A kill strikes within a second: the first 20 attempts all spare their actors with a chance of 4e-5.
    driver = start(rollout(out, url, 40, "--chaos", "kill-actor=0.4", num_workers=2, in_flight=6))
    polls = 0
    try:
        until((out / PLAN).exists, driver)
        while driver.poll() is None:
            assert_adds_up(shown(out, capsys))
            polls += 1
            time.sleep(0.1)
        summary = finish(driver)
    finally:
        driver.kill()
    status = shown(out, capsys)
    assert_adds_up(status)
    assert polls and summary["lost_workers"] > 0
    assert [status[name] for name in ("completed", "running", "waiting", "owner")] == [40, 0, 0, None]
    assert len(keys(out)) == len(set(keys(out))) == 40


def shown(out, capsys):
    """What `agentray runs show --json` prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(["runs", "show", str(out), "--json"])
    assert done.value.code == 0
    return json.loads(capsys.readouterr().out)


def assert_adds_up(status):
    assert status["planned"] == sum(status[name] for name in OUTCOMES) == 40, status


def test_a_second_driver_is_told_who_has_the_run(url, tmp_path):
    out = tmp_path / "run"
    command = rollout(out, url, 10_000, num_workers=0, in_flight=1)
    first = start(command)
    try:
        until(lambda: owner(out) and completed(out), first)
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 1
    assert f"process {first.pid} on" in json.loads(second.stdout)["error"]["why"]


def test_the_counts_of_a_run_are_metrics_of_its_node(local_ray, url, tmp_path):
    # Longer than a second, which is how often counts are handed to Ray.
    settings = {"env": {"count": {"length": 5}}, "num_tasks": 40, "num_workers": 1, "in_flight": 4}
    run(RolloutConfig(envs=["count"], out=tmp_path, policy=url, **settings))
    [node] = [each for each in local_ray.nodes() if each["Alive"]]
    metrics = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    reach = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    deadline = time.monotonic() + 60
    while not re.search(r'^ray_agentray_attempts\w*\{.*env="count"', page := read(reach, metrics), re.M):
        assert time.monotonic() < deadline, re.findall(r"^ray_agentray\w*", page, re.M)
        time.sleep(0.5)
    assert 'status="completed"' in page and "ray_agentray_turns" in page


def read(reach, metrics):
    with reach(metrics, timeout=10) as answer:
        return answer.read().decode()


def host():
    """Be a cluster: print its address; at each line remove a node, and print which workers that killed."""
    from ray.cluster_utils import Cluster

    here = {"node_ip_address": "127.0.0.1"}
    head = {**here, "num_cpus": 0, "include_dashboard": False, "dashboard_agent_listen_port": 0}
    head["_system_config"] = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            nodes.add_node(num_cpus=1, **here)
        print(nodes.address, flush=True)
        for _ in sys.stdin:
            actors = nodes.global_state.actor_table(None, None, "ALIVE").values()
            places = {each["Pid"]: each["Address"]["NodeID"] for each in actors}
            node = next(each for each in nodes.worker_nodes if each.node_id in places.values())
            died = [process for process, place in places.items() if place == node.node_id]
            nodes.remove_node(node, allow_graceful=False)
            print(json.dumps(died), flush=True)
    finally:
        nodes.shutdown()


if __name__ == "__main__":
    host()
