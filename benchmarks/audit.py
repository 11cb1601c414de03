"""Counting runs for the fault benchmarks, and what a run directory holds against what it should.

An attempt is lost when it was planned and no completed trajectory of it is stored, and duplicated when more
than one is: in the raw shards and journal, not only in what `read_run` makes of them.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from agentray.config import RolloutConfig
from agentray.data.journal import Assembler, read_lines
from agentray.data.shards import segments, shards
from agentray.data.store import read_run
from agentray.rollout.plan import Plan
from agentray.rollout.tasks import source_of

MODEL = "counter"
"""The endpoint's model, and so the policy's name: a run goes on behind another address."""


def counting(out: Path, url: str, num_tasks: int, length: int = 5, **changes: Any) -> dict[str, Any]:
    """Settings of a rollout that plays counting games of `length` turns against an endpoint."""
    settings = {
        "envs": ["count"],
        "env": {"count": {"length": length}},
        "policy": url,
        "model": MODEL,
        "num_tasks": num_tasks,
        "num_workers": 2,
        "out": str(out),
    }
    return settings | changes


def command(settings: Mapping[str, Any]) -> list[str]:
    """The command line that makes this rollout."""
    sets = (part for name, value in _flat("rollout", settings) for part in ("--set", f"{name}={value}"))
    return [sys.executable, "-m", "agentray", "rollout", "--json", *sets]


def environment(**more: str) -> dict[str, str]:
    """Environment of a driver: it reaches loopback directly, and starts its own Ray unless told otherwise."""
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **more}


@dataclass(frozen=True)
class Audit:
    """Counts of attempts; all but `planned` and `stored` should be 0."""

    planned: int
    stored: int
    lost: int
    duplicated: int
    unplanned: int
    scored_wrongly: int
    """Stored, with a reward other than 1 or another number of turns than the game has."""

    @property
    def clean(self) -> bool:
        """Whether every planned attempt is there, once and right."""
        return not (self.lost or self.duplicated or self.unplanned or self.scored_wrongly)


def audit(settings: Mapping[str, Any], policy: str = MODEL) -> Audit:
    """Look through a run directory.

    Args:
        settings: What `counting` returned.
        policy: Name recorded in the trajectories.
    """
    config = RolloutConfig(**settings)
    planned = {attempt.key for attempt in Plan(*source_of(config), policy).missing()}
    length = settings["env"]["count"]["length"]
    raw = Counter(key for key, status in raw_outcomes(config.out) if status != "failed")
    read = [each for each in read_run(config.out).trajectories if each.status == "completed"]
    keys = Counter(each.key for each in read)
    return Audit(
        planned=len(planned),
        stored=len(keys),
        lost=len(planned - set(keys)),
        duplicated=sum(max(raw[key], keys[key]) > 1 for key in raw | keys),
        unplanned=len(set(raw) - planned),
        scored_wrongly=sum(each.reward != 1.0 or len(each.turns) != length for each in read),
    )


def raw_outcomes(directory: Path) -> Iterator[tuple[str, str]]:
    """Key and status of every record in the files of a run, doubles included."""
    for shard in shards(directory):
        yield from _outcomes(pq.read_table(shard, columns=["key", "status"]).to_pylist())
    assembler = Assembler()
    for segment in segments(directory):
        yield from _outcomes(row for row in map(assembler.add, read_lines(segment)) if row is not None)


def report(found: Audit) -> dict[str, Any]:
    """An audit as part of a document."""
    return {**asdict(found), "clean": found.clean}


def _outcomes(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    return ((row["key"], row["status"]) for row in rows)


def _flat(prefix: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Dotted names and TOML values; what is JSON here is TOML too."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}.{name}", value)
        else:
            yield f"{prefix}.{name}", json.dumps(value)
