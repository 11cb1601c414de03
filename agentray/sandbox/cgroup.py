"""A control group for each sandbox, where this process may make one: a limit on all its processes together.

Without one, memory is limited for each process only, and processes are counted by RLIMIT_NPROC alone. Mostly
only root may make one. Version 2 and version 1 are known; no setting of a group that is not ours is changed.
"""

from __future__ import annotations

import functools
import os
import secrets
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agentray.sandbox.result import Limits

_PREFIX = "agentray-"
_ROOT = Path("/sys/fs/cgroup")
_NUM_OWN_PROCESSES = 8
"""What makes the sandbox and waits for it."""
_TRIAL_S = 10.0
_ENTER = 'while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"'


def create(limits: Limits) -> tuple[Path, ...]:
    """A new group with these limits.

    Returns:
        Its directory, in version 1 one each for memory and processes; nothing where it cannot be made.
    """
    name, made = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}", []
    memory_bytes = limits.memory_bytes + limits.disk_bytes  # files are in memory too
    settings = {
        "memory.max": memory_bytes,
        "memory.limit_in_bytes": memory_bytes,
        "memory.swap.max": 0,
        "memory.oom.group": 1,
        "pids.max": limits.num_processes + _NUM_OWN_PROCESSES,
    }
    try:
        for parent in _parents():
            group = parent / name
            group.mkdir()
            made.append(group)
            for setting, value in settings.items():
                if (group / setting).exists():
                    (group / setting).write_text(str(value))
    except OSError:
        removed(made)
        return ()
    return tuple(made)


def entering(groups: Sequence[Path]) -> list[str]:
    """Beginning of a command line that runs in these groups."""
    return ["sh", "-c", _ENTER, "sh", *map(str, groups), "--"] if groups else []


def removed(groups: Sequence[Path]) -> bool:
    """Kill what is left in these groups and remove them; False while the kernel still clears them."""
    for group in groups:
        with suppress(OSError):
            (group / "cgroup.kill").write_text("1")
        with suppress(OSError):
            group.rmdir()
    return not any(group.exists() for group in groups)


@functools.cache
def _parents() -> tuple[Path, ...]:
    """Groups below which ours go, tried once, and swept of those that a killed process left there."""
    parents = _find_parents()
    if not _usable(parents):
        return ()
    for group in (each for parent in parents for each in parent.glob(f"{_PREFIX}*-*")):
        if not Path("/proc", group.name.split("-")[1]).exists():
            with suppress(OSError):  # it is not empty
                group.rmdir()
    return parents


def _usable(parents: tuple[Path, ...]) -> bool:
    """Whether a process can go from here into a group there."""
    trial = [parent / f"{_PREFIX}{os.getpid()}-trial-{secrets.token_hex(8)}" for parent in parents]
    try:
        for group in trial:
            group.mkdir()
        done = subprocess.run([*entering(trial), "true"], capture_output=True, timeout=_TRIAL_S)
    except (OSError, subprocess.SubprocessError):
        return False
    finally:
        removed(trial)
    return done.returncode == 0


def _find_parents() -> tuple[Path, ...]:
    """This process's own groups, else those at the top."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    own = {names: path for _, names, path in (line.split(":", 2) for line in lines)}
    unified = [_ROOT / own.get("", "/").lstrip("/"), _ROOT]
    for group in unified:
        if {"memory", "pids"} <= set(_words(group / "cgroup.subtree_control")):
            return (group,)
    found = []
    for controller in ("memory", "pids"):
        paths = [path for names, path in own.items() if controller in names.split(",")]
        choices = [_ROOT / controller / path.lstrip("/") for path in (*paths, "/")]
        found += [group for group in choices if os.access(group, os.W_OK)][:1]
    return tuple(found)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
