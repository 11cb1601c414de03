"""One episode: a policy and an environment take turns until the task ends. Plain asyncio, no Ray."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from agentray.env import Environment, TextEnv
from agentray.errors import PolicyError
from agentray.policy.base import Policy
from agentray.policy.scripted import RandomPolicy
from agentray.types import Message, Sampling, Status, Task, Trajectory, Turn

_T = TypeVar("_T")


@dataclass(frozen=True)
class Attempt:
    """One try at one task: all that a worker needs to know."""

    env: str
    task: Task
    sample: int
    seed: int
    policy: str

    @property
    def key(self) -> str:
        """Identity of the attempt, equal to its trajectory's."""
        return f"{self.task.env}:{self.task.id}#{self.sample}@{self.policy}"


@dataclass(frozen=True)
class Limits:
    """How long things may take."""

    turn_timeout_s: float
    episode_timeout_s: float


class Episode:
    """One attempt while it runs.

    Args:
        attempt: What is tried.
        environment: Its environment.
        policy: Who acts.
        sampling: How replies are drawn; the seed is the attempt's.
        limits: Deadlines.
        executor: Where the environment's blocking calls run; they come one at a time, from any thread.
    """

    def __init__(
        self,
        attempt: Attempt,
        environment: Environment,
        policy: Policy,
        sampling: Sampling,
        limits: Limits,
        executor: Executor,
    ) -> None:
        self._attempt = attempt
        self._environment = environment
        self._policy = policy
        self._sampling = replace(sampling, seed=attempt.seed)
        self._limits = limits
        self._executor = executor
        self._prompt: tuple[Message, ...] = ()
        self._turns: list[Turn] = []
        self._metrics: dict[str, float] = {}

    async def run(self) -> Trajectory:
        """Play to the end; whatever goes wrong is in the trajectory, never raised.

        A failure of the machinery leaves `reward` None: it is not the policy's failure.
        """
        started = time.monotonic()
        status: Status
        error: str | None = None
        try:
            async with asyncio.timeout(self._limits.episode_timeout_s):
                status, error = await self._play()
        except TimeoutError:
            status, error = "failed", f"the episode took longer than {self._limits.episode_timeout_s:g} s"
        except Exception as problem:  # the one broad catch of the rollout layer: siblings must go on
            status, error = "failed", f"{type(problem).__name__}: {problem}"
        reward = None if status == "failed" else sum(turn.reward for turn in self._turns)
        return Trajectory(
            task=self._attempt.task,
            prompt=self._prompt,
            turns=tuple(self._turns),
            reward=reward,
            status=status,
            sample=self._attempt.sample,
            seed=self._attempt.seed,
            policy=self._attempt.policy,
            duration_s=time.monotonic() - started,
            error=error,
            metrics=self._metrics,
        )

    async def _play(self) -> tuple[Status, str | None]:
        env: TextEnv = self._environment.make()
        try:
            return await self._turns_of(env)
        finally:
            self._executor.submit(env.close)

    async def _turns_of(self, env: TextEnv) -> tuple[Status, str | None]:
        task = self._attempt.task
        observation, info = await self._blocking(env.reset, seed=self._attempt.seed, options={"task": task})
        self._metrics = dict(info.get("metrics", {}))
        self._prompt = (*self._environment.instruction(task), Message("user", observation))
        messages = list(self._prompt)
        for _ in range(self._environment.max_turns):
            if isinstance(self._policy, RandomPolicy):
                self._policy.info = info
            try:
                async with asyncio.timeout(self._limits.turn_timeout_s):
                    reply = await self._policy.act(messages, self._sampling)
            except PolicyError as refusal:
                if refusal.what.startswith("context limit"):
                    return "truncated", refusal.what
                raise
            except TimeoutError:
                return "failed", f"no reply within {self._limits.turn_timeout_s:g} s"
            observation, reward, terminated, truncated, info = await self._blocking(env.step, reply.text)
            ended = terminated or truncated
            self._metrics = dict(info.get("metrics", {}))
            self._turns.append(Turn(reply, info.get("action"), "" if ended else observation, float(reward)))
            if ended:
                return ("completed", None) if terminated else ("truncated", "the environment's limit")
            messages += [Message("assistant", reply.text, loss=True), Message("user", observation)]
        return "truncated", f"{self._environment.max_turns} turns"

    async def _blocking(self, call: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, functools.partial(call, *args, **kwargs))
