"""Prompts as an environment: what is asked is fixed, and every answer is accepted.

A user without general data trains on the base model's own answers to these prompts beside the agent
trajectories (self-distillation), which keeps what the model knew:

    agentray rollout --env prompts --policy smollm2-135m --out runs/prompts

A tasks file may ask anything else, in several turns: the data of a task is `{"prompt": TEXT}`, or
`{"turns": [TEXT, ...], "instruction": [MESSAGE, ...]}` with the messages that come before, and whatever is
to be kept with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from agentray.env.base import Hosting, TextEnvironment, fingerprint
from agentray.env.text import Step, TextEnv
from agentray.types import Message, Split, Task

_HELD_OUT_EVERY: Mapping[Split, int] = {"validation": 8, "test": 9}
"""Of ten consecutive prompts, the ninth is for validation and the tenth for test."""


@cache
def _prompts() -> tuple[str, ...]:
    text = files("agentray.env").joinpath("prompts.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


class Asking(TextEnv):
    """Ask one thing after the other; any answers end the episode with reward 1."""

    def start(self, task: Task) -> tuple[str, dict[str, Any]]:
        """Ask the first question."""
        self._left = list(_turns(task.data))
        return self._left.pop(0), {}

    def play(self, reply: str) -> Step:
        """Take an answer, and ask the next question if there is one."""
        if self._left:
            return self._left.pop(0), 0.0, False, False, {"action": reply}
        return "", 1.0, True, False, {"action": reply}


class Prompts(TextEnvironment):
    """Prompts to which any answer is kept (self-distillation, general benchmarks)."""

    id = "prompts"
    hosting = Hosting("inline", replayable=True)

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """Our prompts; each belongs to one split, and any number of the first has all kinds."""
        held_out = {remainder: name for name, remainder in _HELD_OUT_EVERY.items()}
        mine = [text for i, text in enumerate(_prompts()) if held_out.get(i % 10, "train") == split]
        random.Random(0).shuffle(mine)
        for index, prompt in enumerate(mine[start:], start):
            data = {"prompt": prompt}
            yield Task(self.id, f"{split}/{index}", split, data, fingerprint(data))

    def make(self) -> TextEnv:
        """A fresh conversation."""
        return Asking()

    def instruction(self, task: Task) -> tuple[Message, ...]:
        """What comes before the first question: nothing, unless the task brings it."""
        return tuple(Message(each["role"], each["content"]) for each in task.data.get("instruction", ()))

    def random_reply(self, info: Mapping[str, Any], rng: random.Random) -> str:
        """Any number."""
        return str(rng.randrange(10**6))

    def fingerprint(self, data: Mapping[str, Any]) -> str:
        """Of what is asked; what is kept beside it does not count."""
        if "turns" not in data:
            return fingerprint({"prompt": data["prompt"]})
        return fingerprint({"instruction": data.get("instruction", []), "turns": data["turns"]})

    def check_task(self, task: Task) -> None:
        """Refuse what cannot be asked."""
        turns = task.data.get("turns", [task.data.get("prompt")])
        instruction = task.data.get("instruction", [])
        if not isinstance(turns, list) or not turns or not all(isinstance(each, str) for each in turns):
            raise ValueError("its turns are not a list of texts")
        if not isinstance(instruction, list) or not all(map(_is_message, instruction)):
            raise ValueError("its instruction is not a list of messages of a role and a text, and no more")
        super().check_task(task)


def _turns(data: Mapping[str, Any]) -> list[str]:
    """What a task asks, in order."""
    return list(data["turns"]) if "turns" in data else [data["prompt"]]


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"role", "content"}:
        return False
    return value["role"] in ("system", "user", "assistant") and isinstance(value["content"], str)
