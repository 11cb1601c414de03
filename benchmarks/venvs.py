"""Virtual environments for the peers, so that their dependencies never meet ours.

They live in `$AGENTRAY_CACHE/benchmarks/<name>` (else `~/.cache/agentray/benchmarks/<name>`) and are reused
as long as the pinned requirements and the interpreter stay the same.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = {
    "openai": ("openai[aiohttp]==3.51.0",),
    "verifiers": ("verifiers==0.1.14", "openai[aiohttp]==3.51.0"),
    "inspect_ai": ("inspect-ai==0.3.285", "openai==3.51.0"),
}
"""What each peer's environment holds, besides what these depend on."""
_UNWANTED = ("torch", "vllm")
_INSTALL_TIMEOUT_S = 600.0
_STAMP = "requirements.txt"


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made when it is not there.

    Raises:
        RuntimeError: It cannot be made; the message says why.
    """
    base = Path(os.environ.get("AGENTRAY_CACHE") or "~/.cache/agentray").expanduser()
    folder = base / "benchmarks" / peer
    python = folder / "bin" / "python"
    wanted = "\n".join((f"# python {platform.python_version()}", *REQUIREMENTS[peer], ""))
    stamp = folder / _STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _call(sys.executable, "-m", "venv", str(folder))
    _call(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *REQUIREMENTS[peer])
    for package in _UNWANTED:
        if list(folder.glob(f"lib/*/site-packages/{package}")):
            raise RuntimeError(f"installing {peer} brought {package}, which this benchmark does not need")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _call(*command: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{type(error).__name__} while making the environment") from error
    if done.returncode:
        errors = [line[:300] for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise RuntimeError(errors[-1] if errors else f"exit status {done.returncode} of {command[2]}")
