"""General instructions as an environment: one prompt, one answer, always accepted.

Where a user has no general corpus, the base model's own answers to these prompts stand in for it
(self-distillation): training on them beside the agent trajectories keeps what the model knew.

    agentray rollout --env general --policy smollm2-135m --out runs/general
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import gymnasium

from agentray.env.base import Expert, Hosting, TextEnv, fingerprint, text_space
from agentray.types import Family, Message, Split, Task

_HELD_OUT_EVERY: Mapping[Split, int] = {"validation": 8, "test": 9}
"""Of ten consecutive prompts, the ninth is for validation and the tenth for test."""


@cache
def _prompts() -> tuple[str, ...]:
    text = files("agentray.env").joinpath("prompts.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


class OneAnswer(gymnasium.Env[str, str]):
    """Ask once; any answer ends the episode with reward 1."""

    def __init__(self) -> None:
        self.observation_space = text_space()
        self.action_space = text_space()
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Ask the prompt of the task in `options["task"]`."""
        super().reset(seed=seed)
        self._running = True
        return (options or {})["task"].data["prompt"], {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take the answer."""
        if not self._running:
            raise RuntimeError("step() after the end of the episode: call reset() first")
        self._running = False
        return "", 1.0, True, False, {"action": action}


class General:
    """The plugin around `OneAnswer`."""

    id: ClassVar[str] = "general"
    family: ClassVar[Family] = "held_in"
    description: ClassVar[str] = "general instructions, any answer is kept (self-distillation)"
    hosting: ClassVar[Hosting] = Hosting("inline", replayable=True)
    max_turns = 1
    reward_threshold = 1.0

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """The project's prompts; each belongs to one split, and any number of the first has all kinds."""
        held_out = {remainder: name for name, remainder in _HELD_OUT_EVERY.items()}
        mine = [text for i, text in enumerate(_prompts()) if held_out.get(i % 10, "train") == split]
        random.Random(0).shuffle(mine)
        for index, prompt in enumerate(mine[start:], start):
            data = {"prompt": prompt}
            yield Task("general", f"{split}/{index}", split, data, fingerprint(data))

    def make(self) -> TextEnv:
        """A fresh conversation."""
        return OneAnswer()

    def instruction(self, task: Task) -> tuple[Message, ...]:
        """Nothing: the prompt is all."""
        return ()

    def parse(self, reply: str) -> str | None:
        """The whole reply."""
        return reply

    def expert(self, task: Task) -> Expert:
        """A polite refusal to have opinions: general instructions have no expert."""
        return lambda messages: "I leave this answer to a language model."

    def random_reply(self, info: Mapping[str, Any], rng: random.Random) -> str:
        """Any number."""
        return str(rng.randrange(10**6))

    def summarize(self, metrics: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
        """Nothing."""
        return {}
