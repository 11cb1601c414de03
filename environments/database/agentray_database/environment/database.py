"""The plugin: tasks, instruction, expert and scores of AgentBench's DBBench protocol."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from agentray.env import (
    FUNCTION_CALL_ERROR,
    FUNCTION_REPETITION,
    EnvironmentSettings,
    Expert,
    Finding,
    Hosting,
    TextEnv,
    TextEnvironment,
    fingerprint,
)
from agentray.types import Split, Task, Trajectory
from agentray_database.environment import replies
from agentray_database.environment.episode import MAX_ROUNDS, DatabaseEpisode
from agentray_database.environment.expert import expert
from agentray_database.environment.records import read_records, record_tasks

_KINDS = ("select", "insert", "update")
_ERROR = re.compile(r"\d{4} \([0-9A-Z]{5}\): ")
"""MySQL's number and state, with which an error begins and no result does."""


class Database(TextEnvironment):
    """AgentBench DBBench: query or modify one SQL table."""

    id = "database"
    hosting = Hosting("thread", replayable=True)
    rules = replies.INSTRUCTION
    error_types = (
        replace(
            FUNCTION_CALL_ERROR,
            rule="a statement is answered with a MySQL error, such as `1054 (42S22): ...`",
        ),
        replace(FUNCTION_REPETITION, rule="the same statement gets the answer that it got before"),
    )

    class Settings(EnvironmentSettings):
        """Generated tasks, or AgentBench's records."""

        max_turns: int = Field(MAX_ROUNDS, ge=1)
        """Most replies in one episode."""
        data: str | None = Field(None, min_length=1)
        """A DBBench jsonl file; every split then holds all its records. None: endless generated tasks."""
        seed: int = 0
        """Seed of the generated tasks, or of the order of the records."""
        requests: Literal["free", "plain"] = "free"
        """How generated requests are worded. `free`: in many voices, as AgentBench's are. `plain`: they call
        columns by their headers and quote values, over fewer columns."""

    settings: Settings

    def __init__(self, **settings: Any) -> None:
        """Read the data file, so that one that is not DBBench's is refused before anything is made.

        Raises:
            UsageError: There is no such file, or a setting is wrong.
            DataError: The file is not DBBench's.
        """
        super().__init__(**settings)
        data = self.settings.data
        self._records = None if data is None else read_records(data)

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """The records of the data file, or endless generated tasks."""
        if self._records is not None:
            return itertools.islice(record_tasks(self._records, split, self.settings.seed), start, None)
        # Loaded only where tasks are generated.
        from agentray_database.generator import generate

        return generate(split, self.settings.seed, self.settings.requests, start)

    def make(self) -> TextEnv:
        """A fresh episode."""
        return DatabaseEpisode(self.settings.max_turns)

    def fingerprint(self, data: Mapping[str, Any]) -> str:
        """Of the table's name and headers, and the question."""
        return fingerprint({key: data[key] for key in ("table", "headers", "question")})

    def expert(self, task: Task) -> Expert:
        """Runs the task's statement, then answers with what it returned."""
        return expert(task.data)

    def random_reply(self, info: Mapping[str, Any], rng: random.Random) -> str:
        """A random cell of the table as the answer."""
        return replies.answer("I guess.", [rng.choice(info.get("cells") or ["none"])])

    def summarize(self, metrics: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
        """Accuracy of each category, and `overall_cat_accuracy`, their mean.

        AgentBench's mean is over SELECT, INSERT and UPDATE; a category without an episode is excluded here.
        """
        scores = {}
        for kind in _KINDS:
            rewards = [metric[f"success_{kind}"] for metric in metrics if f"success_{kind}" in metric]
            if rewards:
                scores[f"{kind}_accuracy"] = sum(rewards) / len(rewards)
        overall = {"overall_cat_accuracy": sum(scores.values()) / len(scores)} if scores else {}
        return {**scores, **overall}

    def diagnose(self, trajectory: Trajectory) -> Iterator[Finding]:
        """Statements that failed or were repeated to no effect; the last turn's answer is not recorded."""
        seen: set[tuple[str, str]] = set()
        for index, turn in enumerate(trajectory.turns):
            if turn.action is None or not turn.observation:
                continue
            if _ERROR.match(turn.observation):
                yield Finding(FUNCTION_CALL_ERROR.id, index)
            if (turn.action, turn.observation) in seen:
                yield Finding(FUNCTION_REPETITION.id, index)
            seen.add((turn.action, turn.observation))
