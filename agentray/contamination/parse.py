"""How a user names text to compare.

`PATH`, `FILE:FIELD+FIELD` or `env:ENVIRONMENT/SPLIT`, and any of these after `NAME=`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agentray.contamination.sources import (
    EnvironmentSource,
    FileSource,
    RunSource,
    Source,
    fields_text,
    first_record,
)
from agentray.data.reading import run_files
from agentray.env import resolve
from agentray.errors import DataError, UsageError, closest
from agentray.formats.conversations import is_conversation
from agentray.types import SPLITS, Split

_NAMED = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)
_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".txt")
_KNOWN: tuple[tuple[str, ...], ...] = (
    ("question", "choices"),
    ("question",),
    ("prompt",),
    ("turns",),
    ("text",),
)
"""What to compare where records are not conversations, the first that fits; the named benchmarks have these:
MMLU, GSM8K, HumanEval, MT-Bench."""


def parse_source(spec: str, num_tasks: int, settings: Mapping[str, Mapping[str, Any]]) -> Source:
    """The source that a user named.

    Args:
        spec: `runs/filter`, `chats.jsonl`, `test.jsonl:question+choices` or `env:database/test`, also after a
            name: `agent=runs/filter`.
        num_tasks: Tasks to take of an environment.
        settings: Environment settings, by environment id.

    Raises:
        UsageError: There is no such file, directory, field, environment or split.
        DataError: The file holds no records.
    """
    named = _NAMED.fullmatch(spec)
    name, place = (None, spec) if named is None or Path(spec).exists() else named.groups()
    if place.startswith("env:"):
        return _environment(name, place, num_tasks, settings)
    path, fields = Path(place), ""
    if not path.exists() and Path(place.rpartition(":")[0]).is_file():
        path, fields = Path(place.rpartition(":")[0]), place.rpartition(":")[2]
    if path.is_dir():
        return _run(name, path.absolute())
    if not path.exists():
        raise UsageError(f"no file or directory {str(path)!r}", _nearby(path), "correct the path")
    if not path.name.endswith(_SUFFIXES):
        raise UsageError(
            f"cannot read {str(path)!r}",
            closest("".join(path.suffixes[-2:]), _SUFFIXES),
            "give a file of one of these kinds",
        )
    compared = _fields(path, tuple(fields.split("+")) if fields else ())
    # A worker may have another working directory.
    return FileSource(name or path.stem, path.absolute(), compared)


def check_names(sources: Iterable[Source], side: str) -> None:
    """Check that no two sources of one side have the same name.

    Raises:
        UsageError: Two have.
    """
    seen: set[str] = set()
    for source in sources:
        if source.name in seen:
            raise UsageError(
                f"two sources of --{side} are called {source.name!r}",
                "the report could not tell them apart",
                f"name one of them: --{side} NAME={source.name}",
            )
        seen.add(source.name)


def _environment(
    name: str | None, place: str, num_tasks: int, settings: Mapping[str, Mapping[str, Any]]
) -> EnvironmentSource:
    env, _, split = place.removeprefix("env:").partition("/")
    spec = resolve(env, settings.get(env))
    known: Mapping[str, Split] = {each: each for each in SPLITS}
    if split not in known:
        raise UsageError(f"{place!r} names no split", closest(split, known), f"write env:{env}/test")
    return EnvironmentSource(name or f"{env}/{split}", spec, known[split], num_tasks)


def _run(name: str | None, path: Path) -> RunSource:
    if not any(run_files(path)):
        raise UsageError(
            f"{str(path)!r} holds no trajectories",
            "it has no shard and no journal",
            "give the output of `agentray rollout` or `agentray filter`, or a file",
        )
    return RunSource(name or path.name, path)


def _fields(path: Path, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The fields to compare, checked on the first record; none for conversations and lines."""
    if path.suffix == ".txt":
        if asked:
            raise UsageError(
                f"{str(path)!r} has no field {asked[0]!r}",
                "a .txt file has one document a line",
                "leave it out",
            )
        return ()
    record = first_record(path)
    if not asked and is_conversation(record):
        return ()
    if not isinstance(record, dict):
        raise DataError(
            f"{str(path)!r} holds no records", "its first is not a JSON object", "give another file"
        )
    for field in asked:
        if field not in record:
            raise UsageError(
                f"the records of {str(path)!r} have no field {field!r}",
                closest(field, record),
                f"name fields that they have: {path}:FIELD+FIELD",
            )
    if asked:
        return asked
    for fields in _KNOWN:
        if fields_text(record, fields):
            return fields
    raise UsageError(
        f"which field of {str(path)!r} to compare is not known",
        f"its records have: {', '.join(sorted(map(str, record)))}",
        f"name it: {path}:FIELD",
    )


def _nearby(path: Path) -> str:
    """What there is instead of a path that does not exist."""
    parent = path.parent
    if not parent.is_dir():
        return f"there is no directory {str(parent)!r}"
    near = difflib.get_close_matches(path.name, (each.name for each in parent.iterdir()), n=5, cutoff=0)
    return closest(path.name, near)
