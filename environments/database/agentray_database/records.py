"""AgentBench's own DBBench records as tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentray.env import fingerprint
from agentray.errors import DataError, UsageError
from agentray.types import Split, Task
from agentray_database.generator import describe

_SOURCE = "take dev.jsonl or standard.jsonl from data/dbbench of github.com/THUDM/AgentBench"


def read_records(path: str) -> list[dict[str, Any]]:
    """Task contents of a DBBench file.

    Raises:
        UsageError: There is no such file.
        DataError: A line is not a DBBench record.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read data file {path!r}", str(error), _SOURCE) from error
    contents = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            contents.append(_content(json.loads(line)))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            what = f"{path}:{number} is not a DBBench record"
            raise DataError(what, f"{type(error).__name__}: {error}", _SOURCE) from error
    if not contents:
        raise DataError(f"{path} holds no records", "the file is empty", _SOURCE)
    return contents


def record_tasks(contents: list[dict[str, Any]], split: Split) -> Iterator[Task]:
    """Every record as a task; AgentBench's files have no splits, so each split holds them all."""
    for index, data in enumerate(contents):
        content = {"table": data["table"], "headers": data["headers"], "question": data["question"]}
        yield Task("database", f"{split}/agentbench-{index}", split, data, fingerprint(content))


def _content(record: dict[str, Any]) -> dict[str, Any]:
    """A record in the form of a generated task's data."""
    table, category = record["table"], record["type"][0]
    headers = [column["name"] for column in table["table_info"]["columns"]]
    rows = [[None if cell is None else str(cell) for cell in row] for row in table["table_info"]["rows"]]
    if any(len(row) != len(headers) for row in rows):
        raise ValueError("a row has not as many cells as there are headers")
    modifies = category in ("INSERT", "UPDATE", "DELETE")
    recorded = re.search(r"[0-9a-f]{32}", record["answer_md5"]) if modifies else None
    if modifies and recorded is None:
        raise ValueError("answer_md5 holds no md5")
    return {
        "kind": category.lower() if modifies else "select",
        "category": category.lower() if modifies else category,
        "table": table["table_name"],
        "headers": headers,
        "rows": rows,
        "question": record["description"],
        "description": record.get("add_description") or describe(table["table_name"], headers),
        "sql": record["label"][0] if modifies else None,
        "retry_sql": None,
        "thought": "The record's own statement." if modifies else None,
        "label": None if modifies else [str(item) for item in record["label"]],
        "hash": recorded.group() if recorded else None,
    }
