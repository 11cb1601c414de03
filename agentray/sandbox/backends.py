"""Which program makes the sandbox, and the command line with which it does.

bubblewrap and unshare work without privileges: a root caller becomes a user that owns nothing on the machine
before the first of them runs. Both give a root file system in memory, of `disk_bytes`, in which /usr is the
host's and read-only; new user, mount, process, network, IPC, host name and control-group name spaces; and a
process of their own as number 1, with whose end everything ends. Docker is for machines without them.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from agentray.errors import ResourceError, UsageError, closest
from agentray.sandbox import rootfs, seccomp
from agentray.sandbox.confine import limited, unprivileged
from agentray.sandbox.containers import docker
from agentray.sandbox.launch import ENVIRONMENT, HOME, Launch
from agentray.sandbox.result import Limits

INSTALL = "apt-get install bubblewrap, or your system's package of that name; see docs/sandbox.md"
"""What to type where nothing works."""
_PROBE_S = 20.0


@dataclass(frozen=True, slots=True)
class Backend:
    """A way to make sandboxes that works on this machine."""

    name: str
    launch: Callable[[Limits], Launch]


def available() -> list[str]:
    """Names of the backends that work on this machine, best first. Each is tried once, in some 50 ms."""
    return [name for name in _LAUNCHES if not problem(name)]


def backend(name: str | None = None) -> Backend:
    """A backend by name, or the best there is.

    Raises:
        ResourceError: It does not work here, or none does.
        UsageError: There is no such backend.
    """
    if name is not None and name not in _LAUNCHES:
        raise UsageError(f"no sandbox backend {name!r}", closest(name, _LAUNCHES), "agentray doctor")
    wanted = list(_LAUNCHES) if name is None else [name]
    for each in wanted:
        if not problem(each):
            return Backend(each, _LAUNCHES[each])
    raise ResourceError(
        "this machine cannot confine programs" if name is None else f"{name} cannot confine programs here",
        "; ".join(problem(each) for each in wanted),
        INSTALL,
    )


@functools.cache
def problem(name: str) -> str:
    """Why a backend does not work on this machine; empty if it does."""
    programs = [name] if name == "docker" else [name, "setpriv", "prlimit"]
    path = None if name == "docker" else ENVIRONMENT["PATH"]  # where they will be executed from
    missing = [each for each in programs if not shutil.which(each, path=path)]
    if missing:
        return f"{name}: {' and '.join(missing)} not installed"
    try:
        said = _try(_LAUNCHES[name](Limits()))
    except (OSError, subprocess.SubprocessError) as error:
        said = str(error)
    return f"{name}: {said}" if said else ""


def _try(launch: Launch) -> str:
    """What a sandbox says that does not start."""
    try:
        done = subprocess.run(
            [*launch.argv, "true"],
            env=dict(launch.environment),
            pass_fds=launch.descriptors,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            timeout=_PROBE_S,
        )
    finally:
        for each in launch.descriptors:
            os.close(each)
    said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return "" if done.returncode == 0 else said or f"exit code {done.returncode}"


def _bwrap(limits: Limits) -> Launch:
    argv = ["bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session"]
    argv += ["--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
    argv += [*rootfs.for_bwrap(limits.disk_bytes), "--chdir", HOME]
    descriptor = seccomp.open_filter()
    if descriptor is None:
        return Launch((*unprivileged(), *argv, "--", *limited(limits)))
    argv += ["--seccomp", str(descriptor)]
    return Launch((*unprivileged(), *argv, "--", *limited(limits)), (descriptor,))


def _unshare(limits: Limits) -> Launch:
    spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup"]
    argv = ["unshare", "--user", "--map-root-user", *spaces, "--fork", "--kill-child=KILL", "--"]
    argv += ["sh", "-c", rootfs.script(limits.disk_bytes), "sh"]
    argv += ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--"]
    argv += ["sh", "-c", _FIRST_PROCESS, "sh"]
    return Launch((*unprivileged(), *argv, *limited(limits)))


_FIRST_PROCESS = 'exec 9>&2 2>/dev/null; (exec "$@" 2>&9 9>&-); exit $?'
"""Process number 1 stays behind, because it has no default signals: a command must be able to kill itself."""
_LAUNCHES: dict[str, Callable[[Limits], Launch]] = {"bwrap": _bwrap, "unshare": _unshare, "docker": docker}
NAMES = tuple(_LAUNCHES)
"""All backends, best first."""
