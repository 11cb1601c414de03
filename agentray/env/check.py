"""The contract as a test: `check_environment` raises on the first broken promise of a plugin."""

from __future__ import annotations

import itertools
import json
import pickle
import random

from agentray.env.base import Environment
from agentray.env.registry import build
from agentray.errors import DataError
from agentray.types import SPLITS, EnvSpec, Message, Task


def check_environment(spec: EnvSpec, num_tasks: int = 20) -> None:
    """Check a plugin against the contract on its first tasks of every split.

    Args:
        spec: The environment.
        num_tasks: Tasks a split to look at.

    Raises:
        DataError: A promise is broken; the message says which.
    """
    environment = build(pickle.loads(pickle.dumps(spec)))
    _require(isinstance(environment, Environment), spec, "it lacks a member of agentray.env.Environment")
    _require(environment.id == spec.id, spec, f"its id is {environment.id!r}")
    tasks = {split: list(itertools.islice(environment.tasks(split), num_tasks)) for split in SPLITS}
    again = {split: list(itertools.islice(environment.tasks(split), num_tasks)) for split in SPLITS}
    _require(tasks == again, spec, "tasks(split) gives other tasks the second time")
    for split, stream in tasks.items():
        later = list(itertools.islice(environment.tasks(split, 3), max(0, num_tasks - 3)))
        _require(later == stream[3:], spec, f"tasks({split!r}, 3) is not tasks({split!r}) from the fourth on")
    seen: dict[str, str] = {}
    for split, stream in tasks.items():
        for task in stream:
            _require(
                json.loads(json.dumps(task.data)) == task.data, spec, f"{task.id}: data is not plain JSON"
            )
            _require(task.split == split and task.env == spec.id, spec, f"{task.id}: wrong split or env")
            other = seen.setdefault(task.fingerprint, split)
            _require(other == split, spec, f"{task.id}: the same task is in {other} and {split}")
    for task in itertools.chain.from_iterable(stream[:3] for stream in tasks.values()):
        first, second = _play(environment, task, spec), _play(environment, task, spec)
        _require(first == second, spec, f"{task.id}: two episodes with one seed differ")


def _play(environment: Environment, task: Task, spec: EnvSpec) -> list[tuple[str, float, bool]]:
    """Run the expert through one episode and return all it saw."""
    env, expert = environment.make(), environment.expert(task)
    observation, info = env.reset(seed=0, options={"task": task})
    messages = [*environment.instruction(task), Message("user", observation)]
    _require(messages[0].role in ("system", "user"), spec, "the conversation starts with a reply")
    seen = [(observation, 0.0, False)]
    for _ in range(environment.max_turns):
        _require(env.observation_space.contains(observation), spec, "an observation is outside its space")
        well_formed = environment.random_reply(info, random.Random(0))
        _require(environment.parse(well_formed) is not None, spec, "random_reply does not parse")
        reply = expert(messages)
        _require(environment.parse(reply) is not None, spec, f"the expert's reply does not parse: {reply!r}")
        observation, reward, terminated, truncated, info = env.step(reply)
        _require("action" in info, spec, "step() gives no info['action']")
        seen.append((observation, float(reward), terminated or truncated))
        messages += [Message("assistant", reply, loss=True), Message("user", observation)]
        if terminated or truncated:
            break
    else:
        return seen
    try:
        env.step("anything")
    except Exception:  # any error will do: the contract is that it raises
        return seen
    finally:
        env.close()
    raise DataError(
        f"environment {spec.id!r} breaks the contract", "step() after the end did not raise", "raise there"
    )


def _require(condition: bool, spec: EnvSpec, why: str) -> None:
    if not condition:
        raise DataError(
            f"environment {spec.id!r} breaks the contract",
            why,
            "see docs/environments.md, and run check_environment",
        )
