"""The contract as a test: `check_environment` raises on the first broken promise of a plugin."""

from __future__ import annotations

import itertools
import json
import pickle
import random
from collections.abc import Mapping
from typing import Any

from agentray.env.base import TextEnvironment
from agentray.env.registry import build
from agentray.errors import DataError
from agentray.types import SPLITS, EnvSpec, Message, Task

_BABBLE = "I say something that is no action."
"""What is said where the environment brings neither an expert nor random replies."""


def check_environment(spec: EnvSpec, num_tasks: int = 20) -> None:
    """Check a plugin against the contract on its first tasks of every split.

    Args:
        spec: The environment.
        num_tasks: Tasks a split to look at.

    Raises:
        DataError: A promise is broken; the message says which.
    """
    environment = build(pickle.loads(pickle.dumps(spec)))
    check = _Check(environment, spec.id)
    check.require(environment.id == spec.id, f"its id is {environment.id!r}")
    check.require(bool(environment.description), "it has no description: give its class a docstring")
    tasks = {split: list(itertools.islice(environment.tasks(split), num_tasks)) for split in SPLITS}
    for split, stream in tasks.items():
        again = list(itertools.islice(environment.tasks(split), num_tasks))
        check.require(again == stream, f"tasks({split!r}) gives other tasks the second time")
        later = list(itertools.islice(environment.tasks(split, 3), max(0, num_tasks - 3)))
        check.require(later == stream[3:], f"tasks({split!r}, 3) is not tasks({split!r}) from the fourth on")
    check.require(any(tasks.values()), "it has no task in any split")
    seen: dict[str, str] = {}
    for task in itertools.chain.from_iterable(tasks.values()):
        check.task(task)
        other = seen.setdefault(task.fingerprint, task.split)
        check.require(other == task.split, f"{task.id}: the same task is in {other} and {task.split}")
    for task in itertools.chain.from_iterable(stream[:3] for stream in tasks.values()):
        check.require(
            check.episode(task) == check.episode(task), f"{task.id}: two episodes with one seed differ"
        )


class _Check:
    """The promises about a task and an episode."""

    def __init__(self, environment: TextEnvironment, name: str) -> None:
        self._environment, self._name = environment, name

    def require(self, condition: bool, why: str) -> None:
        """Raise unless a promise is kept."""
        if not condition:
            fix = "see docs/environments.md, and run check_environment"
            raise DataError(f"environment {self._name!r} breaks the contract", why, fix)

    def task(self, task: Task) -> None:
        """A task is plain JSON of its environment, which accepts it, and refuses it with other data."""
        self.require(json.loads(json.dumps(task.data)) == task.data, f"{task.id}: data is not plain JSON")
        self.require(task.env == self._name, f"{task.id}: its environment is {task.env!r}")
        self.require(task.split in SPLITS, f"{task.id}: its split is {task.split!r}")
        try:
            self._environment.check_task(task)
        except ValueError as error:
            self.require(False, f"{task.id}: check_task refuses it: {error}")

    def episode(self, task: Task) -> list[tuple[str, float, bool]]:
        """Play one episode and return all it showed: observations, rewards, and whether it was over."""
        env = self._environment.make()
        observation, info = env.reset(seed=0, options={"task": task})
        messages = [*self._environment.instruction(task), Message("user", observation)]
        self.require(messages[0].role in ("system", "user"), "the conversation starts with a reply")
        seen = [(observation, 0.0, False)]
        expert = self._environment.expert(task) if self._environment.brings("expert") else None
        over = False
        for turn in range(self._environment.max_turns):
            self.require(env.observation_space.contains(observation), "an observation is outside its space")
            reply = expert(messages) if expert else self._reply(info, turn)
            observation, reward, terminated, truncated, info = env.step(reply)
            self._action(info, reply)
            over = terminated or truncated
            seen.append((observation, float(reward), over))
            messages += [Message("assistant", reply, loss=True), Message("user", observation)]
            if over:
                break
        if over:
            self.require(_refuses(env), "step() after the end did not raise")
        env.close()
        if expert and self._environment.brings("random_reply"):
            self._random(task)
        return seen

    def _reply(self, info: Mapping[str, Any], turn: int) -> str:
        """A reply without an expert."""
        brings = self._environment.brings("random_reply")
        return self._environment.random_reply(info, random.Random(turn)) if brings else _BABBLE

    def _random(self, task: Task) -> None:
        """A random reply holds an action."""
        env = self._environment.make()
        _, info = env.reset(seed=0, options={"task": task})
        reply = self._environment.random_reply(info, random.Random(0))
        self._action(env.step(reply)[4], reply)
        env.close()

    def _action(self, info: Mapping[str, Any], reply: str) -> None:
        self.require("action" in info, "step() gives no info['action']")
        well_formed = reply is _BABBLE or info["action"] is not None
        self.require(well_formed, f"no action was found in the reply of its own {reply!r}")


def _refuses(env: Any) -> bool:
    """Whether a step raises; any error will do."""
    try:
        env.step("anything")
    except Exception:
        return True
    return False
