"""One attempt at one task: DBBench's rounds as a Gymnasium environment."""

from __future__ import annotations

from typing import Any

import gymnasium

from agentray.env import text_space
from agentray.types import Task
from agentray_database.engine import Sandbox
from agentray_database.generator import generate
from agentray_database.grading import is_correct, parse_answer
from agentray_database.replies import final_answer, operation, parse

MAX_ROUNDS = 15


class DatabaseEpisode(gymnasium.Env[str, str]):
    """A reply runs one statement, or ends the episode and is graded with reward 0 or 1."""

    def __init__(self, max_turns: int = MAX_ROUNDS) -> None:
        self.observation_space = text_space()
        self.action_space = text_space()
        self._max_turns = max_turns
        self._task: Task | None = None
        self._sandbox: Sandbox | None = None
        self._rounds = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Load the table of `options["task"]`; without one, of a generated training task drawn by `seed`."""
        super().reset(seed=seed)
        self.close()
        task: Task = (options or {}).get("task") or next(generate("train", seed or 0))
        self._task, self._rounds = task, 0
        self._sandbox = Sandbox(task.data["table"], task.data["headers"], task.data["rows"])
        return f"{task.data['question']}\n{task.data['description']}", self._info(task, None, 0.0)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Run the statement of a reply, or grade the reply when it runs none."""
        if self._sandbox is None or self._task is None:
            raise RuntimeError("step() outside an episode: call reset() first")
        statement = operation(action)
        observation = "" if statement is None else self._sandbox.execute(statement)
        self._rounds += 1
        terminated = statement is None
        truncated = not terminated and self._rounds >= self._max_turns
        reward = 0.0
        if terminated or truncated:
            reward = self._grade(self._task, self._sandbox, action)
            self.close()
        return observation, reward, terminated, truncated, self._info(self._task, parse(action), reward)

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
