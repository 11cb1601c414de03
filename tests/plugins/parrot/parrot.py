"""Two policies for the counting game: one that says what it is told to, and a paid teacher."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from agentray.config import Settings
from agentray.env import TextEnvironment
from agentray.policy import BasePolicy
from agentray.types import Message, Reply, Sampling, Shared, Task


class Parrot(BasePolicy):
    """Says one phrase, and the names that the environment's `info` holds."""

    class Settings(Settings):
        """What it says."""

        phrase: str = "Polly wants a cracker."

    paid: ClassVar[bool] = False

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """The phrase and the names."""
        return Reply(f"{self.settings.phrase} {sorted(info)}", finish_reason="stop")


class Teacher(BasePolicy):
    """Knows the task, and writes down every reply: each one costs money."""

    class Settings(Settings):
        """Where it writes, and after how many replies its first process dies."""

        ledger: Path
        dies_after: int = 0

    knows_task: ClassVar[bool] = True
    shared: ClassVar[Shared] = "attempt"

    def __init__(self, environment: TextEnvironment, task: Task, seed: int, **settings: Any) -> None:
        super().__init__(**settings)
        self._task = task

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """The next number."""
        if self.settings.dies_after:
            self._die_once()
        num_replies = sum(message.loss for message in messages)
        with self.settings.ledger.open("a") as ledger:  # one write: whole lines from several processes
            ledger.write(f"{self._task.id} {num_replies}\n")
        return Reply(f"Action: {self._task.data['start'] + num_replies + 1}", finish_reason="stop")

    def _die_once(self) -> None:
        ledger: Path = self.settings.ledger
        if ledger.exists() and len(ledger.read_text().splitlines()) >= self.settings.dies_after:
            try:
                os.close(os.open(f"{ledger}.died", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
            os.kill(os.getpid(), 9)
