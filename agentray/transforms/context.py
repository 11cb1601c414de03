"""Where a trajectory comes from, as its transform sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from agentray.data.stored import located, settings_of
from agentray.env import TextEnvironment
from agentray.errors import UsageError
from agentray.policy.base import Policy
from agentray.rollout.hosting import Host
from agentray.types import EnvSpec


class Context:
    """What a transform may use besides the trajectory. Nothing is built before it is asked for.

    Args:
        env: Environment id of the trajectory.
        settings: Settings of the environment: those of the run, and what the user gave over them.
        policy: Whom the stage was given to ask.
    """

    def __init__(self, env: str, settings: Mapping[str, Any], policy: Policy | None) -> None:
        self._env, self._settings, self._policy = env, settings, policy
        self._host: Host | None = None

    @cached_property
    def _built(self) -> tuple[EnvSpec, TextEnvironment]:
        return located(self._env, self._settings)

    @property
    def environment(self) -> TextEnvironment:
        """The environment of the trajectory.

        Raises:
            UsageError: It is not installed, or refuses its settings.
            MissingDependencyError: It cannot be imported.
        """
        return self._built[1]

    @property
    def host(self) -> Host:
        """Plays episodes of the environment; raises what `environment` does."""
        if self._host is None:
            self._host = Host(*self._built)
        return self._host

    @property
    def policy(self) -> Policy:
        """Whom to ask.

        Raises:
            UsageError: The stage was given nobody.
        """
        if self._policy is None:
            raise UsageError(
                "a transform asks a policy, and there is none",
                "the command names no --policy",
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
        policy: Whom transforms may ask.
    """

    def __init__(
        self, runs: Sequence[Path], env: Mapping[str, Mapping[str, Any]], policy: Policy | None = None
    ) -> None:
        self._stored = [settings_of(run) for run in runs]
        self._env, self._policy = env, policy
        self._made: dict[tuple[int, str], Context] = {}

    def of(self, run: int, env: str) -> Context:
        """The context of a trajectory of this run and environment."""
        if (run, env) not in self._made:
            self._made[run, env] = Context(env, self._settings(run, env), self._policy)
        return self._made[run, env]

    def settings(self) -> dict[str, dict[str, Any]]:
        """Settings per environment id, of the environments that all runs agree on: those of what is kept."""
        names = sorted({*self._env, *(name for stored in self._stored for name in stored)})
        found = {name: [self._settings(run, name) for run in range(len(self._stored))] for name in names}
        return {name: each[0] for name, each in found.items() if all(one == each[0] for one in each)}

    def _settings(self, run: int, env: str) -> dict[str, Any]:
        return {**(self._stored[run].get(env) or {}), **self._env.get(env, {})}

    async def close(self) -> None:
        """End what was built."""
        for context in self._made.values():
            await context.close()
