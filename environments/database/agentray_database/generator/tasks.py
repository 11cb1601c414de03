"""Endless generated tasks: a random table, a request about it, and what the right answer does."""

# ruff: noqa: RUF001  (cells hold en dashes)
from __future__ import annotations

import itertools
import random
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from agentray.env import fingerprint
from agentray.errors import DataError
from agentray.types import Split, Task
from agentray_database.environment.engine import Row, Sandbox
from agentray_database.environment.grading import answer_of
from agentray_database.environment.records import describe
from agentray_database.generator.modifications import insert_request, update_request
from agentray_database.generator.pools import Pools
from agentray_database.generator.questions import draw_category, select_request
from agentray_database.generator.tables import Table, draw_table
from agentray_database.generator.wording import Request, Requests, Voice

_EMPTY_SHARE = 0.7
"""Of the questions that find nothing, how many to keep; AgentBench has about one in seven."""
_HARD_QUOTES = re.compile("''|\"")
"""Quotes inside a value."""
_MOST_DRAWS = 10_000
_LONGEST_QUESTION = 420
"""In characters; AgentBench's are 55 to 250 from the first to the last decile."""


def generate(split: Split, seed: int = 0, requests: Requests = "free", start: int = 0) -> Iterator[Task]:
    """Tasks of a split, the same every time: a third INSERT, a third UPDATE, a third SELECT.

    Args:
        split: Whose vocabulary, domains and sentence patterns to use.
        seed: Another seed gives another stream from the same vocabulary.
        requests: How requests are worded.
        start: Tasks to skip.
    """
    stream, pools = f"{seed}" if requests == "free" else f"{requests}-{seed}", Pools(split)
    for index in itertools.count(start):
        rng = random.Random(f"database/{split}/{stream}/{index}")
        kind = rng.choice(["insert", "update", "select"])
        category = draw_category(rng, requests) if kind == "select" else kind
        drawn = (_task_data(rng, pools, kind, category, requests) for _ in range(_MOST_DRAWS))
        data = next((each for each in drawn if each is not None), None)
        if data is None:
            raise DataError(
                f"no {category!r} task in {_MOST_DRAWS} draws",
                f"the vocabulary of {split!r} does not allow one with {requests!r} requests",
                "widen domains.toml or phrases.toml",
            )
        content = {"table": data["table"], "headers": data["headers"], "question": data["question"]}
        yield Task("database", f"{split}/{stream}-{index}", split, data, fingerprint(content))


def _task_data(
    rng: random.Random, pools: Pools, kind: str, category: str, requests: Requests
) -> dict[str, Any] | None:
    """Content of one task; None when this draw makes no good one."""
    table = draw_table(rng, pools, most_columns=3 if requests == "plain" else 8)
    voice = Voice(rng, pools.split, table, requests)
    if kind == "insert":
        request: Request | None = insert_request(voice)
    else:
        request = update_request(voice) if kind == "update" else select_request(voice, category)
    if request is None or len(request.question) > _LONGEST_QUESTION:
        return None
    if requests == "plain" and _HARD_QUOTES.search(request.sql.replace("',', ''", "")):
        return None
    outcome = _outcome(rng, table, request, kind)
    if outcome is None:
        return None
    return {
        "kind": kind, "category": category, "table": table.name, "headers": table.headers, "rows": table.rows,
        "question": request.question, "description": describe(table.name, table.headers),
        "sql": request.sql, "retry_sql": request.retry_sql, "thought": request.thought, **outcome,
    }  # fmt: skip


def _outcome(rng: random.Random, table: Table, request: Request, kind: str) -> dict[str, Any] | None:
    """The label or hash that the request leads to; None when it is ambiguous or changes nothing."""
    sandbox = Sandbox(table.name, table.headers, table.rows)
    try:
        before = sandbox.table_hash()
        rows = sandbox.query(request.sql)
        if kind == "select":
            label = _label(rng, sandbox, request, rows)
            return None if label is None else {"label": label, "hash": None}
        after = sandbox.table_hash()
        return None if after == before else {"label": None, "hash": after}
    except sqlite3.Error:
        return None
    finally:
        sandbox.close()


def _label(rng: random.Random, sandbox: Sandbox, request: Request, rows: list[Row]) -> list[str] | None:
    """The answer a question has, or None when it is not clear enough to ask."""
    if request.retry_sql is not None:
        rows = sandbox.query(request.retry_sql) if not rows else []
        return answer_of(rows) if len(rows) == 1 and answer_of(rows)[0].strip("-—– ") else None
    if "ORDER BY" in request.sql and _is_tied(sandbox, request.sql):
        return None
    answer = answer_of(rows)
    if answer == ["none"]:
        single_lookup = request.category == "other"
        return answer if not single_lookup and rng.random() < _EMPTY_SHARE else None
    good = len(answer) <= 4 and all(item.strip("-—– ") for item in answer)
    return answer if good and (answer != ["0"] or rng.random() < _EMPTY_SHARE) else None


def _is_tied(sandbox: Sandbox, sql: str) -> bool:
    """Whether the first two rows of a ranking share the number they are ranked by."""
    head, _, order = sql.partition(" ORDER BY ")
    key = re.sub(r" (?:ASC|DESC) LIMIT 1$", "", order)
    table = head[head.index(" FROM ") :]
    top = sandbox.query(f"SELECT {key}{table} ORDER BY {order.replace('LIMIT 1', 'LIMIT 2')}")
    return len(top) < 2 or top[0] == top[1]
