"""The rollout stage: makes every attempt of a plan once and stores what came of it.

    agentray rollout --env database --split train --policy expert --num-tasks 200 --out runs/rollout

The same command resumes an interrupted run: attempts that are stored are not made again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.cluster import connected
from agentray.config import RolloutConfig
from agentray.data.store import RunStore
from agentray.env import build, resolve
from agentray.errors import UsageError
from agentray.policy import resolve_policy
from agentray.rollout.episode import Attempt, Limits
from agentray.types import EnvSpec, PolicySpec, Progress, Sampling, silent

_PLAN = "plan.json"
_HOW_NOT_WHAT = {
    "out",
    "num_workers",
    "in_flight",
    "max_retries",
    "turn_timeout_s",
    "episode_timeout_s",
    "engine",
}
"""Settings that may change between a run and its resumption."""


@dataclass(frozen=True)
class RolloutSummary:
    """Counts of a run: `planned == completed + truncated + failed`."""

    out: str
    planned: int
    completed: int
    truncated: int
    failed: int
    resumed: int
    """Attempts that an earlier start of this run had finished."""
    mean_reward: Mapping[str, float | None]
    """By environment, over attempts that were scored."""
    num_turns: int
    """Replies in this start."""
    completion_tokens: int
    """Tokens the policy wrote in this start, as far as it counts them."""
    wall_s: float
    set_aside: list[str] = field(default_factory=list)
    """Shards that could not be read; their attempts were made again."""


def run(config: RolloutConfig, progress: Progress = silent) -> RolloutSummary:
    """Make all attempts of a plan that are not stored yet.

    Raises:
        UsageError: An environment or policy is unknown, or the directory holds a run of another plan.
        PolicyError: The policy cannot act at all.
        ResourceError: Another process has the run open, or the cluster lacks resources.
    """
    started = time.monotonic()
    specs = [resolve(name, config.env.get(name)) for name in config.envs]
    policy = resolve_policy(
        config.policy, engine=config.engine, model=config.model, timeout_s=config.turn_timeout_s
    )
    attempts = list(plan(config, specs, policy))
    identity = _identity(config, policy)
    _check_plan(config.out, identity)
    with RunStore(config.out) as store:
        manifest.write_json(config.out / _PLAN, identity)
        missing = [attempt for attempt in attempts if attempt.key not in store.finished]
        tally = _Tally(len(attempts), len(attempts) - len(missing), progress)
        if missing:
            with connected():
                asyncio.run(_drive(config, specs, policy, missing, store, tally))
        statuses = Counter(store.finished[attempt.key] for attempt in attempts)
        set_aside = store.set_aside
    summary = RolloutSummary(
        out=str(config.out),
        planned=len(attempts),
        completed=statuses["completed"],
        truncated=statuses["truncated"],
        failed=statuses["failed"],
        resumed=len(attempts) - len(missing),
        mean_reward={name: tally.mean_reward(name) for name in config.envs},
        num_turns=tally.num_turns,
        completion_tokens=tally.completion_tokens,
        wall_s=time.monotonic() - started,
        set_aside=set_aside,
    )
    counts = {key: value for key, value in asdict(summary).items() if key != "out"}
    document = manifest.Manifest("rollout", config.model_dump(mode="json"), counts, {}, summary.wall_s)
    manifest.write(config.out, document)
    return summary


def plan(config: RolloutConfig, specs: list[EnvSpec], policy: PolicySpec) -> Iterator[Attempt]:
    """All attempts of a run, in order; attempt `i` has seed `config.seed + i`."""
    index = 0
    for spec in specs:
        stream = build(spec).tasks(config.split)
        for task in itertools.islice(stream, config.first_task, config.first_task + config.num_tasks):
            for sample in range(config.samples):
                yield Attempt(spec.id, task, sample, config.seed + index, policy.id)
                index += 1


class _Tally:
    """What a start of a run has done so far, for progress and summary."""

    def __init__(self, planned: int, resumed: int, progress: Progress) -> None:
        self._planned, self._done, self._progress = planned, resumed, progress
        self._rewards: dict[str, list[float]] = {}
        self._failed = 0
        progress(resumed, planned)
        self.num_turns = self.completion_tokens = 0

    def add(self, trajectory: Any) -> None:
        self._done += 1
        self._failed += trajectory.status == "failed"
        self.num_turns += len(trajectory.turns)
        usages = (turn.reply.usage for turn in trajectory.turns)
        self.completion_tokens += sum(usage.completion_tokens for usage in usages if usage)
        if trajectory.reward is not None:
            self._rewards.setdefault(trajectory.task.env, []).append(trajectory.reward)
        rewards = list(itertools.chain.from_iterable(self._rewards.values()))
        mean = sum(rewards) / len(rewards) if rewards else 0.0
        self._progress(self._done, self._planned, reward=round(mean, 3), failed=self._failed)

    def mean_reward(self, env: str) -> float | None:
        rewards = self._rewards.get(env)
        return sum(rewards) / len(rewards) if rewards else None


async def _drive(
    config: RolloutConfig,
    specs: list[EnvSpec],
    policy: PolicySpec,
    attempts: list[Attempt],
    store: RunStore,
    tally: _Tally,
) -> None:
    from agentray.rollout.pool import PoolConfig, default_num_workers, open_pool

    sampling = Sampling(config.sampling.temperature, config.sampling.max_tokens, config.sampling.top_p)
    limits = Limits(config.turn_timeout_s, config.episode_timeout_s)
    num_workers = config.num_workers or min(default_num_workers(), len(attempts))
    size = PoolConfig(num_workers, config.in_flight, config.max_retries, config.engine.start_timeout_s)
    async with open_pool(specs, policy, sampling, limits, size) as pool:
        async for trajectory in pool.play(attempts):
            store.append(trajectory)
            tally.add(trajectory)


def _identity(config: RolloutConfig, policy: PolicySpec) -> dict[str, Any]:
    """What decides which attempts a run consists of and how they are made; an endpoint's address does not."""
    document: dict[str, Any] = json.loads(config.model_dump_json(exclude=_HOW_NOT_WHAT))
    return {**document, "policy": policy.id}


def _check_plan(out: Path, identity: dict[str, Any]) -> None:
    """Refuse a directory that holds a run of another plan; a longer plan may continue a shorter one."""
    path = out / _PLAN
    if not path.exists():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    growing = {"num_tasks", "samples"}
    different = [key for key in identity if key not in growing and before.get(key) != identity[key]]
    if different:
        changes = ", ".join(f"{key}: {before.get(key)!r} there, {identity[key]!r} here" for key in different)
        raise UsageError(f"{str(out)!r} holds another run", changes, "give another --out")
