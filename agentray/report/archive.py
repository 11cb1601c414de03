"""Trajectories as the page embeds them: an index to list and filter, and chunks that open one by one.

Every block is JSON, compressed with gzip and written in base64, so whatever a model wrote cannot end the
element that holds it. A text that several chunks need, such as an environment's instruction, is stored once.
Rows are ordered by environment, task, sample and run: attempts that are compared lie side by side, which also
compresses best.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentray.env import Finding
from agentray.evaluate.diagnosis import types_of
from agentray.report.reading import Run
from agentray.report.text import number
from agentray.report.tokens import TokenBounds
from agentray.types import Trajectory, Turn

CHUNK_ROWS = 64
_SHARED_CHARACTERS = 80
"""Shorter texts are repeated: a reference would save nothing."""
_TITLE_CHARACTERS = 140
_MOST_SURPRISE = 9999
_TASK = re.compile(r"\btask is(?: to)?:\s*(\S.*)", re.IGNORECASE)
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Archive:
    """Blocks of a page, each base64 of gzip of JSON."""

    index: str
    """Names, and one array per column of the list."""
    texts: str
    """Texts that several chunks share; a number in a record's place of a text is an index into them."""
    chunks: tuple[str, ...]
    """`CHUNK_ROWS` records each."""
    num_attempts: int

    def blocks(self) -> dict[str, str]:
        """All blocks by the name that the page's script knows them by."""
        chunks = {f"chunk-{place}": chunk for place, chunk in enumerate(self.chunks)}
        return {"index": self.index, "texts": self.texts, **chunks}


@dataclass(frozen=True)
class _Row:
    run: int
    trajectory: Trajectory
    findings: tuple[Finding, ...]
    threshold: float
    """Reward from which the attempt is won."""


def encode(runs: Sequence[Run], bounds: Sequence[TokenBounds | None]) -> Archive:
    """Pack the trajectories of runs.

    Args:
        runs: The runs, the base first.
        bounds: Token boundaries of each run's replies; None where its tokenizer is not known.
    """
    rows = sorted(_rows(runs), key=_order)
    kinds = {kind.id: kind for run in runs for env in run.environments.values() for kind in types_of(env)}
    places = {name: place for place, name in enumerate(kinds)}
    records = [_record(row, places, bounds[row.run]) for row in rows]
    chunks = [records[start : start + CHUNK_ROWS] for start in range(0, len(records), CHUNK_ROWS)]
    shared = _shared(chunks)
    index = {
        "runs": [{"name": run.name} for run in runs],
        "errors": [{"type": kind.id, "title": kind.title, "rule": kind.rule} for kind in kinds.values()],
        "chunk_rows": CHUNK_ROWS,
        "columns": _columns(rows, places),
    }
    return Archive(
        index=pack(index),
        texts=pack(list(shared)),
        chunks=tuple(pack([_refer(record, shared) for record in chunk]) for chunk in chunks),
        num_attempts=len(rows),
    )


def pack(document: Any) -> str:
    """A block: ASCII JSON (any text survives, lone surrogates too), gzip, base64; equal for equal input."""
    plain = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")
    return base64.b64encode(gzip.compress(plain, compresslevel=6, mtime=0)).decode("ascii")


def unpack(block: str) -> Any:
    """What `pack` packed."""
    return json.loads(gzip.decompress(base64.b64decode(block)))


def _rows(runs: Sequence[Run]) -> Iterator[_Row]:
    for index, run in enumerate(runs):
        for trajectory, findings in run.shown:
            threshold = run.environments[trajectory.task.env].reward_threshold
            yield _Row(index, trajectory, findings, threshold)


def _order(row: _Row) -> tuple[Any, ...]:
    task = row.trajectory.task
    natural = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(task.id)]
    return task.env, natural, task.fingerprint, row.trajectory.sample, row.run


def _columns(rows: Sequence[_Row], kinds: Mapping[str, int]) -> dict[str, list[Any]]:
    """The list's columns; `task` numbers the distinct tasks, so that equal tasks can be found."""
    tasks: dict[tuple[str, str, str], int] = {}
    trajectories = [row.trajectory for row in rows]
    return {
        "run": [row.run for row in rows],
        "key": [each.key for each in trajectories],
        "env": [each.task.env for each in trajectories],
        "id": [each.task.id for each in trajectories],
        "task": [
            tasks.setdefault((each.task.env, each.task.fingerprint, each.task.id), len(tasks))
            for each in trajectories
        ],
        "sample": [each.sample for each in trajectories],
        "title": [_title(each) for each in trajectories],
        "outcome": [_outcome(row) for row in rows],
        "truncated": [int(each.status == "truncated") for each in trajectories],
        "reward": [number(each.reward) for each in trajectories],
        "turns": [len(each.turns) for each in trajectories],
        "errors": [sorted({kinds[finding.type] for finding in row.findings}) for row in rows],
    }


def _outcome(row: _Row) -> str:
    if row.trajectory.reward is None:
        return "unscored"
    return "won" if row.trajectory.reward >= row.threshold else "lost"


def _title(trajectory: Trajectory) -> str:
    """What is asked, in one line: the task where the first observation names it, else its first line."""
    text = trajectory.prompt[-1].content if trajectory.prompt else ""
    named = _TASK.search(text)
    line = named[1] if named else next((line for line in text.splitlines() if line.strip()), "")
    return line.strip()[:_TITLE_CHARACTERS]


def _record(row: _Row, kinds: Mapping[str, int], bounds: TokenBounds | None) -> dict[str, Any]:
    each = row.trajectory
    return {
        "policy": each.policy,
        "status": each.status,
        "seed": str(each.seed),  # integers beyond 2^53 would lose digits in a browser
        "temperature": number(each.temperature),
        "seconds": number(each.duration_s),
        "error": each.error,
        "metrics": {name: number(value) for name, value in each.metrics.items()},
        "findings": [[kinds[finding.type], finding.turn] for finding in row.findings],
        "prompt": [
            {"role": message.role, "loss": message.loss, "text": message.content} for message in each.prompt
        ],
        "turns": [_turn(turn, bounds) for turn in each.turns],
    }


def _turn(turn: Turn, bounds: TokenBounds | None) -> dict[str, Any]:
    """A turn; what is not known is absent. `surprise` is -100 log p of each token, rounded."""
    reply = turn.reply
    fields: dict[str, Any] = {
        "reply": reply.text,
        "action": turn.action,
        "observation": turn.observation,
        "reward": number(turn.reward),
        "finish": reply.finish_reason,
        "seconds": number(round(reply.latency_s, 3)),
        "tokens": reply.usage.completion_tokens if reply.usage else None,
    }
    if reply.logprobs is not None:
        fields["surprise"] = [_surprise(logprob) for logprob in reply.logprobs]
        if bounds and reply.token_ids is not None and len(reply.token_ids) == len(reply.logprobs):
            fields["lengths"] = bounds.lengths(reply.token_ids, reply.text)
    return {name: value for name, value in fields.items() if value is not None}


def _surprise(logprob: float) -> int:
    known = number(logprob)
    return _MOST_SURPRISE if known is None else max(0, min(_MOST_SURPRISE, round(-100 * known)))


def _texts(record: Mapping[str, Any]) -> Iterator[str]:
    for message in record["prompt"]:
        yield message["text"]
    for turn in record["turns"]:
        yield turn["reply"]
        yield turn["observation"]


def _shared(chunks: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, int]:
    """Long texts of more than one chunk, with their places in the table."""
    first: dict[str, int] = {}
    shared: dict[str, int] = {}
    for place, chunk in enumerate(chunks):
        for record in chunk:
            for text in _texts(record):
                if len(text) >= _SHARED_CHARACTERS and first.setdefault(text, place) != place:
                    shared.setdefault(text, len(shared))
    return shared


def _refer(record: Mapping[str, Any], shared: Mapping[str, int]) -> dict[str, Any]:
    """The record with numbers in the places of shared texts."""
    prompt = [{**each, "text": shared.get(each["text"], each["text"])} for each in record["prompt"]]
    turns = [
        {**turn, **{name: shared.get(turn[name], turn[name]) for name in ("reply", "observation")}}
        for turn in record["turns"]
    ]
    return {**record, "prompt": prompt, "turns": turns}
