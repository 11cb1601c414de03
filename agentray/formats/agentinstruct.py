"""AgentInstruct: ShareGPT's turns with `loss` on each, and an id that names environment and task.

Source: Zeng et al. 2023, arXiv:2310.12823; the records of `THUDM/AgentInstruct`.
"""

from __future__ import annotations

from typing import Any

from agentray.formats.base import Record, said_in
from agentray.formats.sharegpt import ShareGPT, speaker
from agentray.types import Message, Trajectory


class AgentInstruct(ShareGPT):
    """Records such as `{"id": "os_42", "conversations": [{"from": "gpt", "loss": true, "value": "..."}]}`."""

    def task(self, record: Record, place: str) -> tuple[str, str]:
        """Of `os_42`, environment `os` and task `42`, unless the record names its environment."""
        env, task_id = super().task(record, place)
        named, _, number = task_id.partition("_")
        if env in ("imported", named) and named and number and task_id != place:
            return named, number
        return env, task_id

    def record(self, trajectory: Trajectory) -> Record:
        """All that was said; `loss` is null for all but replies."""
        task = trajectory.task
        turns = [self.turn(each) for each in said_in(trajectory)]
        return {"id": f"{task.env}_{task.id}", "conversations": turns}

    def turn(self, message: Message) -> dict[str, Any]:
        """The turn of a message."""
        loss = message.loss if message.role == "assistant" else None
        return {"from": speaker(message), "loss": loss, "value": message.content}
