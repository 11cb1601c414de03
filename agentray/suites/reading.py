"""Reads benchmark files; whatever is wrong with one names the file, the line and what was expected."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from agentray.errors import DataError, UsageError
from agentray.formats import files
from agentray.formats.reasons import short
from agentray.types import Rejection

Records = dict[str, dict[str, Any]]
"""Records by place, `FILE:LINE`."""


def records(directory: Path, benchmark: str, fields: Collection[str], *patterns: str) -> Records:
    """The records of the first pattern that any file of a directory matches.

    Args:
        directory: Where the files are.
        benchmark: Whose they should be.
        fields: What the first record must have; none leaves that to the caller.
        patterns: Of JSONL files, plain or gzipped.

    Raises:
        UsageError: There is no such file.
        DataError: A record is not an object of Unicode text, or the first lacks a field.
    """
    found = next((paths for each in patterns if (paths := sorted(directory.glob(each)))), [])
    if not found:
        raise missing(directory, benchmark, " or ".join(patterns))
    rows = {place: row for path in found for place, row in _rows(path)}
    if not rows:
        raise DataError(f"{str(found[0])!r} is empty", "it has no records", "give the benchmark's file")
    first = next(iter(rows.values()))
    if not set(fields) <= first.keys():
        raise DataError(
            f"{str(found[0])!r} is not a file of {benchmark}",
            f"its first record has {sorted(first)}, and should have {sorted(fields)}",
            f"put the files of {benchmark} into {str(directory)!r}",
        )
    return rows


def missing(directory: Path, benchmark: str, wanted: str) -> UsageError:
    """The error for a benchmark whose files are not there."""
    there = sorted(each.name for each in directory.iterdir())[:8] if directory.is_dir() else None
    why = f"{str(directory)!r} is not a directory" if there is None else f"it holds {there or 'nothing'}"
    return UsageError(
        f"no data for {benchmark} in {str(directory)!r}",
        why,
        f"put {wanted} there, or give another --data DIR",
    )


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of a file, each after its place."""
    for place, row in files.records(path):
        if isinstance(row, Rejection) or not isinstance(row, dict):
            raise DataError(
                f"cannot use {place} of {str(path)!r}",
                row.detail if isinstance(row, Rejection) else f"{short(row)} is not a JSON object",
                "give the benchmark's file, one JSON record a line",
            )
        yield place, row
