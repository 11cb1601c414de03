"""A rollout worker: hosts environments and a policy, and plays many episodes at once. Run as a Ray actor."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agentray.env import Environment, build
from agentray.env.registry import load_attribute
from agentray.policy.base import Policy
from agentray.policy.remote import RemotePolicy
from agentray.rollout.episode import Attempt, Episode, Limits
from agentray.types import EnvSpec, PolicySpec, Sampling, Trajectory

_THREADS = 32
"""Environment calls that run at once; a call that hangs holds one until it returns."""


class RolloutWorker:
    """Plays attempts.

    Args:
        environments: The environments it may be asked for.
        policy: Who acts.
        handle: Actor of the policy, when its scope is `actor`.
        sampling: How replies are drawn.
        limits: Deadlines.
    """

    def __init__(
        self,
        environments: Sequence[EnvSpec],
        policy: PolicySpec,
        handle: Any | None,
        sampling: Sampling,
        limits: Limits,
    ) -> None:
        self._environments: dict[str, Environment] = {spec.id: build(spec) for spec in environments}
        self._spec, self._sampling, self._limits = policy, sampling, limits
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="environment")
        self._shared: Policy | None = None
        if policy.scope == "actor":
            self._shared = RemotePolicy(handle)
        elif policy.scope == "worker":
            self._shared = load_attribute(policy.entry_point)(**policy.kwargs)

    async def ready(self) -> None:
        """Wait until the policy can act."""
        if self._shared is not None:
            await self._shared.ready()

    async def play(self, attempt: Attempt) -> Trajectory:
        """Play one attempt to its end."""
        environment = self._environments[attempt.env]
        policy = self._shared
        if policy is None:
            build_policy = load_attribute(self._spec.entry_point)
            policy = build_policy(environment, attempt.task, attempt.seed, **self._spec.kwargs)
        episode = Episode(attempt, environment, policy, self._sampling, self._limits, self._executor)
        return await episode.run()

    async def close(self) -> None:
        """Release the policy and the threads."""
        if self._shared is not None:
            await self._shared.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
