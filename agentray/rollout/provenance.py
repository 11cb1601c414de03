"""What a run is and who answers in it, as `plan.json` keeps it from one start to the next.

A run belongs to a model, not to an address: it goes on when the same model is served at another port, and it
is refused when another model answers at the same one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentray.config import RolloutConfig
from agentray.env import build
from agentray.errors import DataError, without_secrets
from agentray.models import model_version
from agentray.policy.address import is_endpoint
from agentray.policy.resolve import addresses, resolve_policy, served_name
from agentray.stage import PLAN, read_plan
from agentray.types import EnvSpec, Family, PolicySpec, Source

_HOW_NOT_WHAT = {
    "out",
    "num_workers",
    "num_engines",
    "in_flight",
    "max_retries",
    "retry_failed",
    "turn_timeout_s",
    "episode_timeout_s",
    "engine",
    "chaos",
    "model",
    "tasks",
}
"""Settings that may change between a run and its resumption; the policy's name says which model it is."""
GROWING = {"num_tasks", "samples"}
"""Settings that a longer run may raise to continue a shorter one."""


@dataclass(frozen=True)
class Before:
    """What the plan of an earlier start says; empty where there was none."""

    model: str | None
    """The model of the endpoint that the run began with."""
    answered_by: Sequence[Source]
    """Everyone who answered."""
    adapted: Mapping[str, Sequence[str]]
    """What endpoints were asked differently."""


def before(out: Path) -> Before:
    """What `plan.json` in a run directory says.

    Raises:
        DataError: It cannot be read.
    """
    plan = read_plan(out)
    try:
        return Before(
            model=str(plan["policy"]) if plan.get("endpoint") else None,
            answered_by=[Source(**each) for each in plan.get("answered_by", ())],
            adapted=dict(plan.get("adapted", {})),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"cannot read {str(out / PLAN)!r}", f"it does not hold a plan: {error!r}", "give another --out"
        ) from error


def policy_of(config: RolloutConfig, begun: Before) -> PolicySpec:
    """The policy of a run, named after the model that acts.

    Raises:
        UsageError: There is no such policy.
        PolicyError: An endpoint does not answer, and nobody named its model.
    """
    how: dict[str, Any] = {"reasoning": config.reasoning, "tool_calls": config.tool_calls}
    model = config.model
    if is_endpoint(config.policy) and model is None and not config.policy_settings:  # these are refused
        urls = addresses(config.policy)
        model, how["must_list"] = begun.model or served_name(urls[0]), True
    spec = resolve_policy(
        config.policy,
        engine=config.engine,
        model=model,
        num_engines=config.num_engines,
        settings=config.policy_settings,
        how=how,
    )
    names = [each.model for each in begun.answered_by if each.model]
    if not is_endpoint(config.policy) or not names:
        return spec
    return PolicySpec(**{**_fields(spec), "answers_as": names[-1]})


def _fields(spec: PolicySpec) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


def identity(config: RolloutConfig, policy: PolicySpec) -> dict[str, Any]:
    """What decides which attempts a run consists of and how they are made; an endpoint's address does not."""
    text = without_secrets(config.model_dump_json(exclude=_HOW_NOT_WHAT))
    document: dict[str, Any] = {**json.loads(text), "policy": policy.id}
    if is_endpoint(config.policy):
        return {**document, "endpoint": True, "model_version": None}
    return {**document, "model_version": model_version(config.policy)}


@dataclass(frozen=True)
class UsedEnvironment:
    """An environment as a run used it, for the stages that read the run."""

    entry_point: str
    settings: Mapping[str, Any]
    version: str
    """Of its tasks."""
    family: Family
    reward_threshold: float


def used(specs: Iterable[EnvSpec]) -> dict[str, UsedEnvironment]:
    """The environments of a run, by id."""
    built = {spec.id: (spec, build(spec)) for spec in specs}
    return {
        name: UsedEnvironment(
            entry_point=spec.entry_point,
            settings=spec.kwargs,
            version=environment.version,
            family=environment.family,
            reward_threshold=environment.reward_threshold,
        )
        for name, (spec, environment) in built.items()
    }


def answers(
    begun: Before, answered_by: Iterable[Source], adapted: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Who answered and what was adapted, in all starts of a run so far, as `plan.json` keeps it."""
    everyone = dict.fromkeys([*begun.answered_by, *answered_by])
    return {
        "answered_by": [asdict(each) for each in everyone],
        "adapted": {**begun.adapted} | {name: list(what) for name, what in adapted.items()},
    }
