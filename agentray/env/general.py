"""General instructions as an environment: what is asked is fixed, and every answer is accepted.

Where a user has no general corpus, the base model's own answers to these prompts stand in for it
(self-distillation): training on them beside the agent trajectories keeps what the model knew.

    agentray rollout --env general --policy smollm2-135m --out runs/general

With `data=FILE` it asks the questions of a file, which may have several turns. General benchmarks are asked
this way, and scored from the stored answers afterwards (`agentray.suites`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import gymnasium

from agentray.env.base import Expert, Hosting, TextEnv, fingerprint, text_space
from agentray.env.records import records
from agentray.env.settings import check_path
from agentray.errors import DataError
from agentray.types import SPLITS, Family, Message, Split, Task

_HELD_OUT_EVERY: Mapping[Split, int] = {"validation": 8, "test": 9}
"""Of ten consecutive prompts, the ninth is for validation and the tenth for test."""
_FIX = 'give a JSONL file of records like {"id": "1", "turns": ["What is rain?"], "split": "train"}'


@cache
def _prompts() -> tuple[str, ...]:
    text = files("agentray.env").joinpath("prompts.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


class Asking(gymnasium.Env[str, str]):
    """Ask one thing after the other; any answers end the episode with reward 1."""

    def __init__(self) -> None:
        self.observation_space = text_space()
        self.action_space = text_space()
        self._left: list[str] | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Ask the first question of the task in `options["task"]`."""
        super().reset(seed=seed)
        data = (options or {})["task"].data
        self._left = list(data["turns"]) if "turns" in data else [data["prompt"]]
        return self._left.pop(0), {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take an answer, and ask the next question if there is one."""
        if self._left is None:
            raise RuntimeError("step() after the end of the episode: call reset() first")
        if self._left:
            return self._left.pop(0), 0.0, False, False, {"action": action}
        self._left = None
        return "", 1.0, True, False, {"action": action}


class General:
    """The plugin around `Asking`.

    Args:
        data: JSONL file of questions, one record a line: `turns` (list of str) and, if wanted, `id`
            (the line's number; no two may have the same), `instruction` (OpenAI messages that come before),
            `split` (`train`) and anything else, which is kept with the task. None asks the project's own
            prompts.

    Raises:
        UsageError: `data` is no path.
    """

    id: ClassVar[str] = "general"
    family: ClassVar[Family] = "held_in"
    description: ClassVar[str] = "general instructions, any answer is kept (self-distillation)"
    hosting: ClassVar[Hosting] = Hosting("inline", replayable=True)
    max_turns = 16
    reward_threshold = 1.0

    def __init__(self, data: str | None = None) -> None:
        check_path(self.id, "data", data)
        self._data = data

    def tasks(self, split: Split, start: int = 0) -> Iterator[Task]:
        """The prompts; each belongs to one split. Of ours, any number of the first has all kinds."""
        if self._data is not None:
            yield from islice(_questions(Path(self._data), split), start, None)
            return
        held_out = {remainder: name for name, remainder in _HELD_OUT_EVERY.items()}
        mine = [text for i, text in enumerate(_prompts()) if held_out.get(i % 10, "train") == split]
        random.Random(0).shuffle(mine)
        for index, prompt in enumerate(mine[start:], start):
            data = {"prompt": prompt}
            yield Task("general", f"{split}/{index}", split, data, fingerprint(data))

    def make(self) -> TextEnv:
        """A fresh conversation."""
        return Asking()

    def instruction(self, task: Task) -> tuple[Message, ...]:
        """What comes before the first question: nothing, unless the task brings it."""
        return tuple(Message(each["role"], each["content"]) for each in task.data.get("instruction", ()))

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


def _questions(path: Path, split: Split) -> Iterator[Task]:
    """The tasks of a split in a file of questions.

    Raises:
        UsageError: There is no such file.
        DataError: It cannot be read, a line is not a question, or two have one id.
    """
    lines: dict[str, int] = {}
    tasks = []
    for number, record in records(path, "a question", _FIX, _checked):
        if record.get("split", "train") != split:
            continue
        name = f"{split}/{record.get('id', number)}"
        first = lines.setdefault(name, number)
        if first != number:
            raise DataError(
                f"lines {first} and {number} of {str(path)!r} are both {name!r}",
                "answers are told apart by `id`, which is the line's number where it is left out",
                "give each question another id",
            )
        data = {key: value for key, value in record.items() if key not in ("id", "split")}
        asked = {"instruction": data.get("instruction", []), "turns": data["turns"]}
        tasks.append(Task("general", name, split, data, fingerprint(asked)))
    yield from tasks


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """The record.

    Raises:
        ValueError: It is not a question.
    """
    turns, name = record.get("turns"), record.get("id", "")
    instruction = record.get("instruction", [])
    if not isinstance(turns, list) or not turns or not all(isinstance(each, str) for each in turns):
        raise ValueError("its turns are not a list of texts")
    if record.get("split", "train") not in SPLITS:
        raise ValueError(f"its split is not one of {', '.join(SPLITS)}")
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise ValueError("its id is neither text nor a number")
    if not isinstance(instruction, list) or not all(map(_is_message, instruction)):
        raise ValueError(
            "its instruction is not a list of messages that have a role and a text as content, and no more"
        )
    return record


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"role", "content"}:
        return False
    return value["role"] in ("system", "user", "assistant") and isinstance(value["content"], str)
