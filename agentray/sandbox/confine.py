"""The parts of a sandbox that every backend shares: an owner of nothing, and limits on one process."""

from __future__ import annotations

import math
import os
import resource
import secrets
from pathlib import Path

from agentray.sandbox.result import Limits

_UNUSED = range(0x7000_0000, 0x8000_0000)
_UNUSED_IN_CONTAINERS = range(60578, 61184)
"""User ids that nothing gives out, by systemd's table of ids; the first where only 65,536 are mapped."""
_NOFILE, _MEMLOCK_BYTES = 1024, 65536


def unprivileged() -> list[str]:
    """Beginning of a command line that ends with the thread that began it and, begun by root, owns nothing.

    A user id of its own also makes the kernel count the processes of this sandbox alone, and count at all:
    the limit does not hold for a real user id of 0.
    """
    argv = ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all"]
    if os.geteuid() == 0:
        user = str(_spare_user())
        argv += ["--reuid", user, "--regid", user, "--clear-groups"]
    return [*argv, "--"]


def limited(limits: Limits) -> list[str]:
    """Beginning of a command line with resource limits, soft and hard, none above the machine's own."""
    seconds = _at_most(resource.RLIMIT_CPU, math.ceil(limits.cpu_s))
    hard = _at_most(resource.RLIMIT_CPU, seconds + 1)  # SIGXCPU first, then SIGKILL
    options = {
        "cpu": f"{seconds}:{hard}",
        "as": _at_most(resource.RLIMIT_AS, limits.memory_bytes),
        "nproc": _at_most(resource.RLIMIT_NPROC, limits.num_processes),
        "fsize": _at_most(resource.RLIMIT_FSIZE, limits.file_bytes),
        "nofile": _at_most(resource.RLIMIT_NOFILE, _NOFILE),
        "memlock": _at_most(resource.RLIMIT_MEMLOCK, _MEMLOCK_BYTES),
        "core": 1,  # 0 would still feed a core to the program of the host's core_pattern; 1 does not: core(5)
        "nice": 0,
        "rtprio": 0,
    }
    return ["prlimit", *(f"--{name}={value}" for name, value in options.items()), "--"]


def _at_most(kind: int, wanted: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _spare_user() -> int:
    """A user id, at random, so that no two sandboxes share one."""
    mapped = [line.split() for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()]
    wide = any(
        int(first) <= _UNUSED.start and int(first) + int(count) >= _UNUSED.stop for first, _, count in mapped
    )
    return secrets.choice(_UNUSED if wide else _UNUSED_IN_CONTAINERS)
