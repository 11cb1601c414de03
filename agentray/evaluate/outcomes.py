"""How each attempt of a run ended: all that scores are made of, read without the conversations.

Conversations are nearly all of a run's bytes. An outcome takes some 300 bytes of memory, so that a million
attempts are scored on a small machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from agentray import manifest
from agentray.config import RolloutConfig
from agentray.data.reading import RunReader
from agentray.data.store import iterate_run
from agentray.data.stored import built, settings_of
from agentray.env import TextEnvironment
from agentray.errors import DataError
from agentray.rollout.plan import is_planned
from agentray.types import Status, Trajectory

_COLUMNS = "env policy task_id fingerprint split sample seed reward error metrics"
_BATCH_ROWS = 1024


class Outcome(NamedTuple):
    """How one attempt ended."""

    env: str
    policy: str
    task: str
    """Content and id of the task: equal in two runs where they tried the same."""
    split: str
    sample: int
    seed: int
    reward: float | None
    status: Status
    error: str | None
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of a finished run; at least one."""

    directory: Path
    attempts: Sequence[Outcome]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings by environment id, as the run's manifest has them."""
    recorded: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the run recorded of its environments, for where they are not installed."""

    def environments(self) -> dict[str, TextEnvironment]:
        """The environments of the attempts, by id, with the run's own settings.

        Raises:
            UsageError: One is not installed, or refuses its settings.
            MissingDependencyError: One cannot be imported.
        """
        return {
            name: built(name, self.settings.get(name) or {}, self.recorded.get(name) or {})
            for name in sorted({each.env for each in self.attempts})
        }


def outcome(trajectory: Trajectory) -> Outcome:
    """How an attempt ended."""
    task = trajectory.task
    return Outcome(
        env=task.env,
        policy=trajectory.policy,
        task=task.fingerprint + task.id,
        split=task.split,
        sample=trajectory.sample,
        seed=trajectory.seed,
        reward=trajectory.reward,
        status=trajectory.status,
        error=trajectory.error,
        metrics=trajectory.metrics,
    )


def read_outcomes(directory: Path, plan: RolloutConfig | None = None) -> Outcomes:
    """Outcomes of a finished run.

    Args:
        directory: The run.
        plan: Takes the attempts of this plan alone; by default an evaluation's own, and all of a rollout. A
            larger evaluation may have left more in the directory.

    Raises:
        UsageError: The directory does not exist, is not a run or is not complete.
        DataError: It holds no attempt, or a file that cannot be read.
    """
    document = manifest.read(directory)
    plan = plan or _plan(document)
    chosen = [each for each in _read(directory) if plan is None or is_planned(plan, each.sample, each.seed)]
    if not chosen:
        raise DataError(
            f"{str(directory)!r} holds no attempt", "all its files are empty", "run its rollout again"
        )
    recorded = document.counts.get("environments") or {}
    return Outcomes(directory, chosen, settings_of(directory), recorded)


def iterate_attempts(directory: Path) -> Iterator[Trajectory]:
    """The attempts of `read_outcomes` with their conversations, one after the other.

    Raises:
        UsageError: The directory does not exist, is not a run or is not complete.
        DataError: A file of it cannot be read.
    """
    plan = _plan(manifest.read(directory))
    for each in iterate_run(directory):
        if plan is None or is_planned(plan, each.sample, each.seed):
            yield each


def _plan(document: manifest.Manifest) -> RolloutConfig | None:
    """What an evaluation was to play; None for other runs. Settings of any version: it was run with them."""
    return RolloutConfig.model_construct(**document.config) if document.stage == "evaluate" else None


def _read(directory: Path) -> Iterator[Outcome]:
    """Outcomes of a run, equal values held once."""
    reader = RunReader(directory, _COLUMNS.split())
    reader.check_readable()
    known: dict[str, Any] = {}
    for batch in reader.outcomes.to_batches(max_chunksize=_BATCH_ROWS):
        for row in batch.to_pylist():
            yield _outcome(row, known)


def _outcome(row: Mapping[str, Any], known: dict[str, Any]) -> Outcome:
    metrics = known.get(row["metrics"])
    if metrics is None:
        metrics = known.setdefault(row["metrics"], json.loads(row["metrics"]))

    def shared(name: str) -> Any:
        return known.setdefault(row[name], row[name])

    return Outcome(
        env=shared("env"),
        policy=shared("policy"),
        task=shared("fingerprint") + row["task_id"],
        split=shared("split"),
        sample=row["sample"],
        seed=row["seed"],
        reward=row["reward"],
        status=shared("status"),
        error=row["error"],
        metrics=metrics,
    )


def by_environment(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Outcomes by environment id, in the order of the ids."""
    found: dict[str, list[Outcome]] = {}
    for each in outcomes:
        found.setdefault(each.env, []).append(each)
    return dict(sorted(found.items()))
