"""AgentBench's own DBBench records as tasks."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentray.env import fingerprint
from agentray.env.records import field, records, short
from agentray.types import Split, Task

_SOURCE = "take dev.jsonl or standard.jsonl from data/dbbench of github.com/THUDM/AgentBench"
_MODIFYING = frozenset({"INSERT", "UPDATE", "DELETE"})


def read_records(path: str) -> list[dict[str, Any]]:
    """Task contents of a DBBench file.

    Raises:
        UsageError: There is no such file.
        DataError: It has no record, or a line is not a DBBench record.
    """
    return [content for _, content in records(Path(path), "a DBBench record", _SOURCE, _content)]


def spread(contents: list[dict[str, Any]], seed: int) -> list[int]:
    """The places of the records in an order whose every beginning is a fair sample.

    AgentBench's files go category by category: their first records are of a few categories only. Here the
    records of each category are shuffled and spread evenly: among the first n, each category has its share
    of the file to within one record.
    """
    rng = random.Random(f"records {seed}")
    places: dict[str, list[int]] = {}
    for index, data in enumerate(contents):
        places.setdefault(data["category"], []).append(index)
    ranked: list[tuple[float, int]] = []
    for _, members in sorted(places.items()):
        rng.shuffle(members)
        start = rng.random()
        ranked += [((rank + start) / len(members), index) for rank, index in enumerate(members)]
    return [index for _, index in sorted(ranked)]


def record_tasks(contents: list[dict[str, Any]], split: Split, seed: int = 0) -> Iterator[Task]:
    """Every record as a task, in the order of `spread`; its id has its place in the file.

    AgentBench's files have no splits, so each split holds them all.
    """
    for index in spread(contents, seed):
        data = contents[index]
        content = {"table": data["table"], "headers": data["headers"], "question": data["question"]}
        yield Task("database", f"{split}/agentbench-{index}", split, data, fingerprint(content))


def describe(name: str, headers: list[str]) -> str:
    """The table in AgentBench's words."""
    return f"The name of this table is {name}, and the headers of this table are {','.join(headers)}."


def _content(record: dict[str, Any]) -> dict[str, Any]:
    """A record in the form of a generated task's data.

    Raises:
        ValueError: It is not a DBBench record.
    """
    category, kind = _category(record)
    name, question = _filled(record, "table.table_name"), _filled(record, "description")
    headers, rows = _table(record)
    label = [_cell(each, "label") for each in field(record, "label", list)]
    if None in label:
        raise ValueError("its `label` holds null")
    modifies = kind != "select"
    if modifies and not label:
        raise ValueError("its `label` holds no statement")
    description = record.get("add_description")
    if description is not None:
        description = field(record, "add_description", str)
    return {
        "kind": kind,
        "category": category,
        "table": name,
        "headers": headers,
        "rows": rows,
        "question": question,
        "description": description or describe(name, headers),
        "sql": label[0] if modifies else None,
        "retry_sql": None,
        "thought": "The record's own statement." if modifies else None,
        "label": None if modifies else label,
        "hash": _hash(record) if modifies else None,
    }


def _category(record: dict[str, Any]) -> tuple[str, str]:
    """Category and kind of a record; `type` is a list of one name."""
    found = field(record, "type", list)
    if len(found) != 1 or not isinstance(found[0], str) or not found[0].strip():
        raise ValueError(f"its `type` is {short(found)}, not a list of one name")
    (name,) = found
    if name.upper() in _MODIFYING:
        return name.lower(), name.lower()
    return name, "select"


def _table(record: dict[str, Any]) -> tuple[list[str], list[list[str | None]]]:
    """Headers and rows of a record's table."""
    headers = []
    for column in field(record, "table.table_info.columns", list):
        if not isinstance(column, dict) or not isinstance(column.get("name"), str):
            raise ValueError(f"a column is {short(column)}, not an object with a text `name`")
        headers.append(column["name"])
    if not headers or len({each.lower() for each in headers}) < len(headers):
        raise ValueError(f"its columns are {short(headers)}: a table has one or more, of different names")
    rows = []
    for row in field(record, "table.table_info.rows", list):
        if not isinstance(row, list) or len(row) != len(headers):
            raise ValueError(f"a row is {short(row)}, not a list of {len(headers)} cells, one a column")
        rows.append([_cell(cell, "table.table_info.rows") for cell in row])
    return headers, rows


def _cell(value: Any, name: str) -> str | None:
    """A value of a table or an answer, as text."""
    if value is None or isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"its `{name}` holds {short(value)}, which is neither text nor a number")
    return str(value)


def _filled(record: dict[str, Any], name: str) -> str:
    """A field of text that is not blank."""
    text = field(record, name, str)
    if not text.strip():
        raise ValueError(f"its `{name}` is empty")
    return text


def _hash(record: dict[str, Any]) -> str:
    """The md5 of the table that a modification leaves."""
    found = re.search(r"[0-9a-f]{32}", field(record, "answer_md5", str))
    if found is None:
        raise ValueError("its `answer_md5` holds no md5")
    return found.group()
