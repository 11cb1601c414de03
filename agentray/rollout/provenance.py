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
from agentray.data.runs import PLAN
from agentray.errors import DataError, UsageError, without_secrets
from agentray.models import model_version
from agentray.policy.address import is_endpoint
from agentray.policy.resolve import addresses, resolve_policy, served_name
from agentray.types import PolicySpec, Source

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
}
"""Settings that may change between a run and its resumption; the policy's name says which model it is."""
_GROWING = {"num_tasks", "samples"}


@dataclass(frozen=True)
class Before:
    """What the plan of an earlier start says; empty where there was none."""

    plan: Mapping[str, Any]

    @property
    def model(self) -> str | None:
        """The model of the endpoint that the run began with."""
        return str(self.plan["policy"]) if self.plan.get("endpoint") else None

    @property
    def answered_by(self) -> list[Source]:
        """Everyone who answered."""
        return [Source(**each) for each in self.plan.get("answered_by", ())]

    @property
    def adapted(self) -> dict[str, Sequence[str]]:
        """What endpoints were asked differently."""
        return dict(self.plan.get("adapted", {}))


def before(out: Path) -> Before:
    """What `plan.json` in a run directory says.

    Raises:
        DataError: It cannot be read.
    """
    path = out / PLAN
    if not path.exists():
        return Before({})
    try:
        plan = dict(json.loads(path.read_text(encoding="utf-8")))
        found = Before(plan)
        assert all(isinstance(each, Source) for each in found.answered_by) and found.adapted is not None
        return found
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"cannot read {str(path)!r}",
            f"no plan: {error}",
            "give another --out, or remove the file if the settings are those that the run began with",
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


def check_plan(out: Path, begun: Before, now: Mapping[str, Any]) -> None:
    """Refuse a directory that holds a run of another plan; a longer plan may continue a shorter one.

    Raises:
        UsageError: It does; the message names the difference.
    """
    there = begun.plan
    different = [key for key in now if key in there and key not in _GROWING and there[key] != now[key]]
    if different:
        changes = ", ".join(f"{key}: {there[key]!r} there, {now[key]!r} here" for key in different)
        raise UsageError(f"{str(out)!r} holds another run", changes, "give another --out")


def answers(
    begun: Before, answered_by: Iterable[Source], adapted: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Who answered and what was adapted, in all starts of a run so far, as `plan.json` keeps it."""
    everyone = dict.fromkeys([*begun.answered_by, *answered_by])
    return {
        "answered_by": [asdict(each) for each in everyone],
        "adapted": begun.adapted | {name: list(what) for name, what in adapted.items()},
    }
