"""The sandbox of a machine that has neither bubblewrap nor util-linux, but a Docker daemon that answers.

Nothing is pulled here: `docker pull python:3.11-slim` first. Starting a container takes some 0.4 s. A caller
that is killed leaves its container running, unlike with the other backends.
"""

from __future__ import annotations

import math
import os
import secrets

from agentray.sandbox.launch import ENVIRONMENT, HOME, Launch
from agentray.sandbox.result import Limits

IMAGE = "python:3.11-slim"
_USER = "1000"


def docker(limits: Limits) -> Launch:
    """A container without network, capabilities or a writable image."""
    name = f"agentray-{secrets.token_hex(8)}"
    memory = limits.memory_bytes + limits.disk_bytes
    options = {
        "name": name,
        "hostname": "sandbox",
        "pull": "never",
        "network": "none",
        "cap-drop": "ALL",
        "security-opt": "no-new-privileges",
        "user": f"{_USER}:{_USER}",
        "workdir": HOME,
        "memory": memory,
        "memory-swap": memory,
        "pids-limit": limits.num_processes,
        "shm-size": limits.disk_bytes // 4,
    }
    ulimits = {
        "cpu": f"{math.ceil(limits.cpu_s)}:{math.ceil(limits.cpu_s) + 1}",
        "fsize": limits.file_bytes,
        "nofile": 1024,
        "core": 1,
    }
    argv = ["docker", "run", "--rm", "--interactive", "--init", "--read-only"]
    argv += [f"--{option}={value}" for option, value in options.items()]
    argv += [f"--ulimit={limit}={value}" for limit, value in ulimits.items()]
    argv += [f"--env={variable}={value}" for variable, value in ENVIRONMENT.items()]
    for directory, size_bytes in ((HOME, limits.disk_bytes // 2), ("/tmp", limits.disk_bytes // 4)):
        argv.append(
            f"--tmpfs={directory}:exec,nosuid,nodev,size={size_bytes},uid={_USER},gid={_USER},mode=755"
        )
    return Launch((*argv, IMAGE), environment=dict(os.environ), stop=("docker", "rm", "--force", name))
