"""`ray job submit` of a job to a local Ray that asks for a token."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from ports import free_port

from agentray.data.store import read_run

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]
JOBS = Path(__file__).parents[2] / "jobs"
RAY = Path(sys.executable).parent / "ray"


@pytest.fixture
def head(tmp_path_factory):
    """A Ray head with a dashboard on loopback; yields its address and environment.

    It keeps what it writes to itself: the default directory would name it to every later Ray of this machine.
    """
    port = free_port()
    folder = tempfile.mkdtemp(prefix="ray-")  # not pytest's: the paths of its sockets must be short
    environment = {
        **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [RAY, "start", "--head", "--block", "--num-cpus=4", f"--port={free_port()}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={port}", "--node-ip-address=127.0.0.1"]
    command.append(f"--temp-dir={folder}")
    # Another Ray on this machine holds the agents' default ports.
    command += [f"--dashboard-agent-{kind}-port={free_port()}" for kind in ("listen", "grpc")]
    command += [f"--{kind}-port={free_port()}" for kind in ("metrics-export", "ray-client-server")]
    log = (tmp_path_factory.mktemp("ray") / "log").open("w")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process)
        yield address, environment
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(address, process):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, "ray start ended"
        try:
            urllib.request.urlopen(f"{address}/api/version", timeout=5)
            return
        except urllib.error.HTTPError as error:
            assert error.code in (401, 403)
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail("the Ray dashboard did not come up")


def submit(address, environment, *arguments):
    """Submit a job; a head that has just started has no agent for the first seconds."""
    deadline = time.monotonic() + 90
    while True:
        done = submit_once(address, environment, *arguments)
        if "No available agent" not in done.stderr or time.monotonic() > deadline:
            return done
        time.sleep(1)


def submit_once(address, environment, *arguments):
    command = [RAY, "job", "submit", "--address", address, "--working-dir", JOBS, "--", sys.executable]
    return subprocess.run(
        [*command, *arguments], env=environment, capture_output=True, text=True, timeout=240
    )


def test_the_rollout_job_runs_on_a_submitted_cluster_and_only_with_the_token(head, tmp_path):
    address, environment = head
    out = tmp_path / "run"
    job = [
        "-m",
        "agentray",
        "rollout",
        "--config",
        "rollout.toml",
        "--env",
        "count",
        "--num-tasks",
        "12",
        "--out",
        str(out),
    ]
    refused = submit(address, environment | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}, *job)
    assert refused.returncode != 0 and not out.exists()
    done = submit(address, environment, *job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    trajectories = read_run(out).trajectories
    assert len(trajectories) == 12 and all(each.reward == 1.0 for each in trajectories)
