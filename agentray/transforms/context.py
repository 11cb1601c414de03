"""Where a trajectory comes from, as its transform sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from agentray.data.stored import located, recorded
from agentray.env import TextEnvironment
from agentray.errors import UsageError
from agentray.policy.base import Policy
from agentray.rollout.hosting import Host
from agentray.types import EnvSpec


class Context:
    """What a transform may use besides the trajectory. Nothing is built before it is asked for.

    Args:
        env: Environment id of the trajectory.
        record: What its run says of the environment, with the user's settings over its own.
        policy: The policy that transforms may ask, if the stage has one.
    """

    def __init__(self, env: str, record: Mapping[str, Any], policy: Policy | None = None) -> None:
        self._env, self._record, self._policy = env, record, policy
        self._host: Host | None = None

    @cached_property
    def _built(self) -> tuple[EnvSpec, TextEnvironment]:
        return located(self._env, self._record.get("settings") or {})

    @property
    def environment(self) -> TextEnvironment:
        """The environment of the trajectory.

        Raises:
            UsageError: It is not installed, or refuses its settings.
            MissingDependencyError: It cannot be imported.
        """
        return self._built[1]

    @property
    def reward_threshold(self) -> float:
        """Reward from which an attempt is a good one: as the run has it, or else the environment's own."""
        threshold = self._record.get("reward_threshold")
        return float(self.environment.reward_threshold if threshold is None else threshold)

    @property
    def host(self) -> Host:
        """Plays episodes of the environment; raises what `environment` does."""
        if self._host is None:
            self._host = Host(*self._built)
        return self._host

    @property
    def policy(self) -> Policy:
        """The policy that transforms may ask.

        Raises:
            UsageError: The stage has none.
        """
        if self._policy is None:
            raise UsageError(
                "a transform asks a policy, and none was given",
                "the command has no --policy",
                "give --policy http://HOST:PORT/v1",
            )
        return self._policy

    async def close(self) -> None:
        """End what was built."""
        if self._host is not None:
            await self._host.close()


class Contexts:
    """The contexts of a chain, by run and environment.

    Args:
        runs: The run directories.
        env: Settings per environment id, over those that the runs were made with.
        policy: The policy that transforms may ask, if there is one.
    """

    def __init__(
        self, runs: Sequence[Path], env: Mapping[str, Mapping[str, Any]], policy: Policy | None = None
    ) -> None:
        self._recorded = [recorded(run) for run in runs]
        self._env, self._policy = env, policy
        self._made: dict[tuple[int, str], Context] = {}

    def of(self, run: int, env: str) -> Context:
        """The context of a trajectory of this run and environment."""
        if (run, env) not in self._made:
            self._made[run, env] = Context(env, self._record(run, env), self._policy)
        return self._made[run, env]

    def environments(self) -> dict[str, dict[str, Any]]:
        """What all runs agree on of their environments, by id, for the manifest of what is kept of them."""
        names = sorted({*self._env, *(name for run in self._recorded for name in run)})
        found = {name: [self._record(run, name) for run in range(len(self._recorded))] for name in names}
        return {name: each[0] for name, each in found.items() if all(one == each[0] for one in each)}

    def _record(self, run: int, env: str) -> dict[str, Any]:
        """What a run says of an environment, with the user's settings over its own."""
        record, given = self._recorded[run].get(env, {}), self._env.get(env)
        if not given:
            return record
        settings = {**(record.get("settings") or {}), **given}
        return {
            **{name: each for name, each in record.items() if name != "reward_threshold"},
            "settings": settings,
        }

    async def close(self) -> None:
        """End what was built."""
        for context in self._made.values():
            await context.close()
