"""The rollout stage: makes every attempt of a plan once and stores what came of it.

    agentray rollout --env database --split train --policy expert --num-tasks 200 --out runs/rollout

The same command resumes an interrupted run: attempts that are stored are not made again, and of those that
were interrupted only the turn that was lost is paid for again, where the environment can be rebuilt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from agentray import manifest
from agentray.cluster import connected
from agentray.config import RolloutConfig
from agentray.data.store import RunStore
from agentray.env import build
from agentray.errors import DataError, UsageError
from agentray.plugins import load_attribute
from agentray.rollout.chaos import Chaos
from agentray.rollout.counts import RunCounts
from agentray.rollout.dispatch import Dispatcher, Observer
from agentray.rollout.leases import Rules
from agentray.rollout.plan import Plan
from agentray.rollout.protocol import Limits, Worker
from agentray.rollout.provenance import GROWING, UsedEnvironment, answers, before, identity, policy_of, used
from agentray.rollout.tasks import TaskSource, source_of
from agentray.rollout.worker import LocalWorker
from agentray.stage import Stage, read_plan
from agentray.types import EnvSpec, PolicySpec, Progress, Sampling, silent

_LOG = "log.jsonl"


@dataclass(frozen=True)
class RolloutSummary:
    """Counts of a run: `planned == completed + truncated + failed`."""

    out: str
    planned: int
    completed: int
    truncated: int
    failed: int
    kept: int
    """Attempts that earned their environment's reward threshold."""
    resumed: int
    """Attempts that an earlier start of this run had finished."""
    mean_reward: Mapping[str, float | None]
    """By environment, over attempts that were scored."""
    num_turns: int
    """Replies in this start."""
    completion_tokens: int
    """Tokens the policy wrote in this start, as far as it counts them."""
    wall_s: float
    tail_s: float
    """Time from the last attempt's beginning to the end: what stragglers cost."""
    retries: int
    """Times an attempt was made again because of an infrastructure failure."""
    lost_workers: int
    late_results: int
    """Results that came after the attempt had been given to another worker, and were dropped."""
    replayed_turns: int
    """Turns of interrupted attempts that were rebuilt instead of paid for again."""
    replay_mismatches: int
    """Interrupted attempts that could not be rebuilt, and were made from the start."""
    broken_prefixes: int
    """Turns whose prompt could not extend the ids of the turn before: the chat template rewrites the past."""
    endpoints: Mapping[str, Mapping[str, int]]
    """Calls, retries, overloads and failures by endpoint."""
    failed_by_reason: Mapping[str, int]
    """Why attempts failed, and how many."""
    answered_by: Sequence[Mapping[str, str | None]]
    """Model, address and version of everyone who answered, in all starts."""
    adapted: Mapping[str, Sequence[str]]
    """By endpoint, what it is asked differently because it refused the usual way."""
    next_step: str
    """What to do about failed attempts; empty where there are none."""
    environments: Mapping[str, UsedEnvironment]
    """What later stages need to know of the environments, by id."""
    set_aside: list[str] = field(default_factory=list)
    """Shards that could not be read; their attempts were made again."""


def run(config: RolloutConfig, progress: Progress = silent) -> RolloutSummary:
    """Make all attempts of a plan that are not stored yet.

    Raises:
        UsageError: An environment or policy is unknown, or the directory holds a run of another plan.
        DataError: The plan in the directory cannot be read, or the tasks file has a line that is not a task.
        PolicyError: The policy cannot act at all.
        ResourceError: Another process has the run open, or the cluster or the disk lacks what it needs.
    """
    config, source = source_of(config)
    begun = before(config.out)
    policy = policy_of(config, begun)
    chaos = Chaos(config.chaos)
    _check_place(config, policy)
    _check_task_policy(config, source, policy)
    plan = Plan(config, source, policy.id)
    what = identity(config, policy) | source.identity(read_plan(config.out))
    stage = Stage("rollout", config, config.out, RolloutSummary, identity=what, growing=GROWING)
    stage.check()
    with RunStore(config.out, retry_failed=config.retry_failed) as store:
        counts = RunCounts(plan.size, plan.thresholds, progress, config.out / _LOG)
        resumed = plan.skip(store.earlier, counts.count)
        store.earlier.clear()
        if resumed < plan.size:  # what says that the run is complete is of a smaller plan
            (config.out / manifest.NAME).unlink(missing_ok=True)
        known, environments = answers(begun, (), {}), used(source.specs)
        plain = {name: asdict(each) for name, each in environments.items()}
        facts = {"planned": plan.size, "environments": plain}
        stage.begin({**facts, **known})
        tail_s = 0.0
        try:
            if resumed < plan.size:
                with nullcontext() if config.num_workers == 0 else connected():
                    tail_s = asyncio.run(_drive(config, source.specs, policy, chaos, plan, store, counts))
        finally:
            counts.close()
            if counts.answered_by or counts.adapted:
                known = answers(begun, counts.answered_by, counts.adapted)
                stage.note({**facts, **known})
        set_aside = store.set_aside
    measured = {"resumed": resumed, "tail_s": tail_s, "wall_s": stage.wall_s, **known}
    return stage.complete(
        _summary(config, plan, counts, {**measured, "environments": environments}, set_aside)
    )


def _summary(
    config: RolloutConfig, plan: Plan, counts: RunCounts, measured: Mapping[str, Any], set_aside: list[str]
) -> RolloutSummary:
    return RolloutSummary(
        out=str(config.out),
        planned=plan.size,
        completed=counts.statuses["completed"],
        truncated=counts.statuses["truncated"],
        failed=counts.statuses["failed"],
        kept=counts.kept,
        mean_reward={name: counts.mean_reward(name) for name in config.envs},
        num_turns=counts.num_turns,
        completion_tokens=counts.completion_tokens,
        retries=counts.retries,
        lost_workers=counts.lost_workers,
        late_results=counts.late_results,
        replayed_turns=counts.replayed_turns,
        replay_mismatches=counts.mismatches,
        broken_prefixes=counts.broken_prefixes,
        endpoints=counts.endpoint_totals(),
        failed_by_reason=counts.failed_by_reason(),
        next_step=_next_step(counts.statuses["failed"]),
        set_aside=set_aside,
        **measured,
    )


def check_counts(counts: Mapping[str, Any]) -> None:
    """Refuse to go on from a run in which every attempt failed.

    Args:
        counts: Its summary, as plain data.

    Raises:
        DataError: None has a reward.
    """
    if counts["failed"] == counts["planned"]:
        why = next(iter(counts["failed_by_reason"]), "unknown")
        raise DataError(
            f"all {counts['planned']} attempts failed",
            why,
            "correct the cause, then run the same with retry_failed = true",
        )


def _next_step(failed: int) -> str:
    return (
        f"{failed} attempts failed: the same command with --retry-failed makes them again" if failed else ""
    )


async def _drive(
    config: RolloutConfig,
    specs: list[EnvSpec],
    policy: PolicySpec,
    chaos: Chaos,
    plan: Plan,
    store: RunStore,
    counts: RunCounts,
) -> float:
    """Make what is missing; how long the last attempts took, in seconds."""
    resumable = frozenset(spec.id for spec in specs if policy.paid and build(spec).hosting.replayable)
    rules = Rules(config.in_flight, config.max_retries, resumable)
    dispatcher = Dispatcher(plan.missing(), store, rules, _metered(counts, config))
    counts.running = dispatcher.running
    async with _workers(config, specs, policy, chaos) as workers:
        await dispatcher.run(workers)
    tail_started_s = dispatcher.tail_started_s
    return time.monotonic() - tail_started_s if tail_started_s is not None else 0.0


def _metered(counts: RunCounts, config: RolloutConfig) -> Observer:
    """The counts, and Ray's metrics where there is a Ray."""
    if config.num_workers == 0:
        return counts
    from agentray.rollout.metrics import RayMetrics

    return RayMetrics(counts)


@asynccontextmanager
async def _workers(
    config: RolloutConfig, specs: Sequence[EnvSpec], policy: PolicySpec, chaos: Chaos
) -> AsyncIterator[Sequence[Worker]]:
    """Workers of a run: in actors, or one in this process."""
    settings = config.sampling
    sampling = Sampling(settings.temperature, settings.max_tokens, settings.top_p)
    limits = Limits(config.turn_timeout_s, config.episode_timeout_s, config.in_flight)
    if config.num_workers == 0:
        worker = LocalWorker(specs, policy, {}, sampling, limits, chaos)
        try:
            yield [worker]
        finally:
            await worker.close()
        return
    from agentray.rollout.pool import default_num_workers, open_pool

    num_workers = config.num_workers or default_num_workers(config.in_flight)
    limits = replace(limits, in_flight=-(-config.in_flight // num_workers))
    pool = open_pool(
        specs,
        policy,
        sampling,
        limits,
        chaos,
        num_workers=num_workers,
        start_timeout_s=config.engine.start_timeout_s,
    )
    async with pool as workers:
        yield workers


def _check_task_policy(config: RolloutConfig, source: TaskSource, policy: PolicySpec) -> None:
    """Build a policy that knows its task once per environment: not every one has an expert.

    Raises:
        UsageError: An environment does not support the policy.
    """
    if not policy.knows_task:
        return
    for _, task in islice(source.tasks(lambda env, place: place == 0), len(source.specs)):
        environment = source.environments[task.env]
        load_attribute(policy.entry_point)(environment, task, config.seed, **policy.kwargs)


def _check_place(config: RolloutConfig, policy: PolicySpec) -> None:
    """Refuse what cannot be done in this process alone."""
    if config.num_workers == 0 and policy.shared == "run":
        raise UsageError(
            f"num_workers is 0 and the policy {policy.id!r} is shared by all workers",
            "it is a Ray actor, as a model's engine is",
            "leave num_workers out",
        )
    if config.num_workers == 0 and config.chaos.get("kill-actor"):
        raise UsageError(
            "num_workers is 0 and chaos kills actors",
            "the only process is this one",
            "give --set rollout.num_workers=2",
        )
