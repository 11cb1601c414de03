"""One attempt at one task: DBBench's rounds as a Gymnasium environment."""

from __future__ import annotations

from typing import Any

from agentray.env import Step, TextEnv
from agentray.types import Task
from agentray_database.environment.engine import Sandbox
from agentray_database.environment.grading import is_correct, parse_answer
from agentray_database.environment.replies import final_answer, operation, parse

MAX_ROUNDS = 15


class DatabaseEpisode(TextEnv):
    """A reply runs one statement, or ends the episode and is graded with reward 0 or 1."""

    def __init__(self, max_turns: int = MAX_ROUNDS) -> None:
        super().__init__()
        self._max_turns = max_turns
        self._sandbox: Sandbox | None = None

    def draw(self) -> Task:
        """A generated training task."""
        from agentray_database.environment.database import Database

        return next(Database(seed=self.np_random_seed).tasks("train"))

    def start(self, task: Task) -> tuple[str, dict[str, Any]]:
        """Load the table of a task."""
        self.close()
        self._task, self._rounds = task, 0
        self._sandbox = Sandbox(task.data["table"], task.data["headers"], task.data["rows"])
        return f"{task.data['question']}\n{task.data['description']}", self._info(task, None, 0.0)

    def play(self, reply: str) -> Step:
        """Run the statement of a reply, or grade the reply when it runs none."""
        assert self._sandbox is not None
        statement = operation(reply)
        observation = "" if statement is None else self._sandbox.execute(statement)
        self._rounds += 1
        terminated = statement is None
        truncated = not terminated and self._rounds >= self._max_turns
        reward = 0.0
        if terminated or truncated:
            reward = self._grade(self._task, self._sandbox, reply)
            self.close()
        return observation, reward, terminated, truncated, self._info(self._task, parse(reply), reward)

    def close(self) -> None:
        """Free the database."""
        if self._sandbox is not None:
            self._sandbox.close()
        self._sandbox = None

    @staticmethod
    def _info(task: Task, action: str | None, reward: float) -> dict[str, Any]:
        metrics = {f"success_{task.data['kind']}": reward}
        return {"action": action, "cells": _cells(task), "metrics": metrics}

    @staticmethod
    def _grade(task: Task, sandbox: Sandbox, reply: str) -> float:
        """1 when the answer, or the table after a modification, is right."""
        if task.data["kind"] != "select":
            return float(sandbox.table_hash() == task.data["hash"])
        return float(is_correct(parse_answer(final_answer(reply)), task.data["label"]))


def _cells(task: Task) -> list[str]:
    """All cells of the table, from which a random policy answers."""
    return [cell for row in task.data["rows"] for cell in row if cell]
