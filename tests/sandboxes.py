"""The sandbox backends that tests run on: bubblewrap is installed for them where that is possible."""

import functools
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from agentray.sandbox import available
from agentray.sandbox.backends import problem

_INSTALL = "apt-get install -y --no-install-recommends bubblewrap"


@functools.cache
def names() -> tuple[str, ...]:
    """Backends that work here; tries to install the best one first, once."""
    if not shutil.which("bwrap") and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = f"{_INSTALL} || (apt-get update && {_INSTALL})"
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(["sh", "-c", command], env=environment, capture_output=True, timeout=180)
        problem.cache_clear()  # it may have been asked before the installation
    return tuple(available())


def as_another_user(script: str) -> str:
    """What a Python script prints that a user without privileges runs; only root may ask for it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        try:
            done = subprocess.run(
                [python, "-c", script],
                env=environment,
                cwd="/",
                user=12345,
                group=12345,
                extra_groups=[],
                capture_output=True,
                text=True,
                timeout=60,
            )
        except OSError:
            continue
        if "No module named 'agentray'" not in done.stderr:
            assert done.returncode == 0, done.stderr
            return done.stdout
    pytest.skip("no other user may read the interpreter and this checkout")
