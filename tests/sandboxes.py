"""The sandbox backends that tests run on: bubblewrap is installed for them where that is possible."""

import functools
import os
import shutil
import subprocess
from contextlib import suppress

from agentray.sandbox import available

_INSTALL = "apt-get install -y --no-install-recommends bubblewrap"


@functools.cache
def names() -> tuple[str, ...]:
    """Backends that work here; tries to install the best one first, once."""
    if not shutil.which("bwrap") and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = f"{_INSTALL} || (apt-get update && {_INSTALL})"
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(["sh", "-c", command], env=environment, capture_output=True, timeout=180)
    return tuple(available())
