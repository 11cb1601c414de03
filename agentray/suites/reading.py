"""Reads benchmark files; whatever is wrong with one names the file, the line and what was expected."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentray.errors import DataError, UsageError
from agentray.formats import files
from agentray.formats.reasons import short
from agentray.types import Rejection

FIELDS: Mapping[str, frozenset[str]] = {
    "mmlu": frozenset({"subject", "question", "choices", "answer"}),
    "gsm8k": frozenset({"question", "answer"}),
    "humaneval": frozenset({"task_id", "prompt", "entry_point", "test"}),
    "mtbench": frozenset({"question_id", "category", "turns"}),
}
"""Fields that every record of a benchmark has. MMLU comes first: its records also have GSM8K's."""

Records = dict[str, dict[str, Any]]
"""Records by place, `FILE:LINE`."""


def records(directory: Path, benchmark: str | None, *patterns: str) -> Records:
    """The records of the first pattern that any file of a directory matches.

    Args:
        directory: Where the files are.
        benchmark: Whose they should be; None leaves their fields to the caller.
        patterns: Of JSONL files, plain or gzipped.

    Raises:
        UsageError: There is no such file.
        DataError: A record is not an object of Unicode text, or the first has the fields of something else.
    """
    found = next((paths for each in patterns if (paths := sorted(directory.glob(each)))), [])
    if not found:
        raise missing(directory, benchmark or "records", " or ".join(patterns))
    rows = {place: row for path in found for place, row in _rows(path)}
    if not rows:
        raise DataError(f"{str(found[0])!r} is empty", "it has no record", "give the benchmark's file")
    if benchmark is not None:
        _check_fields(next(iter(rows.values())), benchmark, found[0])
    return rows


def missing(directory: Path, benchmark: str, wanted: str) -> UsageError:
    """The error for a benchmark whose files are not there."""
    there = sorted(each.name for each in directory.iterdir())[:8] if directory.is_dir() else None
    why = f"{str(directory)!r} is no directory" if there is None else f"it holds {there}"
    return UsageError(
        f"no {wanted} of {benchmark} in {str(directory)!r}",
        why,
        f"--set evaluate.data.{benchmark}=DIR, or leave it out for generated questions",
    )


def _check_fields(row: Mapping[str, Any], benchmark: str, path: Path) -> None:
    """Refuse a file of another benchmark by what its first record lacks."""
    lacking = FIELDS[benchmark] - row.keys()
    # GSM8K's two fields are among MMLU's.
    alien = benchmark == "gsm8k" and "choices" in row
    if lacking or alien:
        fits = next((name for name, fields in FIELDS.items() if fields <= row.keys()), None)
        looks = f"; it looks like {fits}" if fits and fits != benchmark else ""
        raise DataError(
            f"{str(path)!r} is not a file of {benchmark}",
            f"its first record has {sorted(row)}, and should have {sorted(FIELDS[benchmark])}{looks}",
            f"--set evaluate.data.{fits or benchmark}=DIR",
        )


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbered rows of a CSV file without a header; a row may have several lines, and blank ones are skipped.

    Raises:
        DataError: It is not CSV, or a row holds a NUL character.
    """
    try:
        rows = csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
        for number, row in enumerate(rows, 1):
            if any("\0" in cell for cell in row):
                raise _unreadable(path, f"line {rows.line_num} holds a NUL character")
            if row:
                yield number, row
    except OSError as error:
        raise _unreadable(path, str(error)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, f"line {line} is not UTF-8: {error.reason}") from error
    except csv.Error as error:
        raise _unreadable(path, f"line {rows.line_num} is not CSV: {error}") from error


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(f"cannot read {str(path)!r}", why, "give the benchmark's file")


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
