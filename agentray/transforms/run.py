"""The transform stage: a chain of steps by name, ours and those of plugins.

    agentray transform --run runs/rollout --apply completed --apply min_reward --out runs/won

The same command goes on with an interrupted chain: what async steps returned is on disk and not asked for
again; the other steps are computed again, which costs less than remembering what they returned.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from agentray import manifest
from agentray.config import EngineConfig, TransformConfig
from agentray.errors import DataError, UsageError, closest, without_secrets
from agentray.plugins import load_attribute
from agentray.policy.base import Policy
from agentray.policy.resolve import resolve_policy
from agentray.policy.router import Router
from agentray.stage import PLAN, Stage
from agentray.transforms.base import make
from agentray.transforms.chain import Chain, Counts, Step
from agentray.transforms.context import Contexts
from agentray.transforms.outcomes import Outcomes
from agentray.types import PolicySpec, Progress, silent


@dataclass(frozen=True)
class TransformSummary:
    """What became of the trajectories: `read == kept +` all that `rejected` counts."""

    out: str
    read: int
    kept: int
    rejected: Mapping[str, Mapping[str, int]]
    """By step and reason; the step `write` rejects what has the key of a trajectory that is kept."""
    kept_by_env: Mapping[str, int]
    reused: int
    """Outcomes of async steps that an earlier start of this chain had on disk."""
    set_aside: list[str]
    """Files and attempts that could not be read."""


def run(config: TransformConfig, progress: Progress = silent) -> TransformSummary:
    """Apply the steps to the runs, into `config.out`: shards, `rejected.jsonl` and the manifest.

    Raises:
        UsageError: A step or setting is unknown, a run is not complete, or `out` overlaps one or holds
            something else.
        DataError: A step fails on a trajectory, or no trajectory is left.
        PolicyError: The policy will never answer.
        UnavailableError: It does not answer now; the same command goes on.
    """
    steps = _steps(config)
    policy = _policy(config)
    if not (config.out / PLAN).exists():
        manifest.check_output(config.out, "transform", config.runs)
    stage = Stage(
        "transform",
        config,
        config.out,
        TransformSummary,
        inputs=config.runs,
        identity=_identity(config, steps),
    )
    finished = stage.finished()
    if finished is not None:
        return finished
    stage.begin()
    remembers = any(inspect.iscoroutinefunction(step.__call__) for _, step in steps)
    outcomes = Outcomes(config.out) if remembers else None
    counts, environments = asyncio.run(_run(config, steps, policy, outcomes, progress))
    if not counts.kept:
        raise _nothing_kept(config, counts, outcomes)
    if outcomes:
        outcomes.remove()
    summary = TransformSummary(
        out=str(config.out),
        read=counts.read,
        kept=counts.kept,
        rejected={step: dict(reasons) for step, reasons in counts.rejected.items()},
        kept_by_env=dict(counts.kept_by_env),
        reused=outcomes.reused if outcomes else 0,
        set_aside=counts.set_aside,
    )
    return stage.complete(summary, within={"environments": environments})


def _steps(config: TransformConfig) -> list[Step]:
    """The steps with their settings.

    Raises:
        UsageError: A name or setting is unknown, or settings are of a step that is not applied.
    """
    for name in config.settings:
        if name not in config.apply:
            raise UsageError(
                f"settings for {name!r}, which is not applied",
                closest(name, config.apply),
                f"correct the name, or give --apply {name}",
            )
    return [(name, make(name, config.settings.get(name))) for name in config.apply]


def _policy(config: TransformConfig) -> PolicySpec | None:
    """The policy that steps may ask.

    Raises:
        UsageError: There is no such policy, or it cannot be asked about stored attempts.
    """
    if config.policy is None:
        return None
    spec = resolve_policy(
        config.policy, engine=EngineConfig(), model=config.model, settings=config.policy_settings
    )
    if spec.shared == "run":
        raise UsageError(
            f"policy {config.policy!r} is a model",
            "transforms ask an endpoint",
            f"run `agentray serve --model {config.policy}`, then give --policy http://127.0.0.1:8000/v1",
        )
    if spec.shared == "attempt" or spec.knows_task:
        raise UsageError(
            f"policy {config.policy!r} only plays episodes",
            "transforms ask about stored ones",
            "give --policy http://HOST:PORT/v1",
        )
    return spec


def _identity(config: TransformConfig, steps: list[Step]) -> dict[str, Any]:
    """What decides the result; an endpoint's address does not where the model is named.

    Raises:
        UsageError: A run is not complete.
    """
    for path in config.runs:
        manifest.read(path)
    asked = config.model or (config.policy and without_secrets(config.policy))
    return {
        "runs": [[str(path), manifest.digest(path)] for path in config.runs],
        "apply": [[name, step.settings.model_dump(mode="json")] for name, step in steps],
        "policy": asked,
        "policy_settings": config.policy_settings,
        "env": config.env,
    }


async def _run(
    config: TransformConfig,
    steps: list[Step],
    policy: PolicySpec | None,
    outcomes: Outcomes | None,
    progress: Progress,
) -> tuple[Counts, dict[str, dict[str, Any]]]:
    """What became of the trajectories, and what is known of their environments."""
    try:
        async with _asked(config, policy) as asked:
            contexts = Contexts(config.runs, config.env, asked)
            try:
                chain = Chain(steps, config.runs, config.out, contexts, config.in_flight, outcomes)
                return await chain.run(progress), contexts.environments()
            finally:
                await contexts.close()
    finally:
        if outcomes:
            outcomes.close()


@asynccontextmanager
async def _asked(config: TransformConfig, spec: PolicySpec | None) -> AsyncIterator[Policy | None]:
    """The policy inside the block: its copies behind a router, which asks again when that helps."""
    if spec is None:
        yield None
        return
    build = load_attribute(spec.entry_point)
    copies = {f"{spec.id} ({n})": build(**spec.kwargs, **each) for n, each in enumerate(spec.replicas)}
    router = Router(copies, in_flight=config.in_flight, request_timeout_s=config.turn_timeout_s)
    try:
        await router.ready()
        yield router
    finally:
        await router.close()


def _nothing_kept(config: TransformConfig, counts: Counts, outcomes: Outcomes | None) -> DataError:
    """The error, after which the directory is gone unless it holds what was paid for."""
    if outcomes is None:
        shutil.rmtree(config.out)
    rejected = {step: dict(reasons) for step, reasons in counts.rejected.items()}
    return DataError(
        f"the chain keeps none of {counts.read} trajectories",
        "; ".join([f"rejected: {rejected}", *(f"not read: {each}" for each in counts.set_aside)]),
        "give other steps or settings, and another --out" if outcomes else "give other steps or settings",
    )
