"""The filter stage: reads rollout runs, keeps what earned its reward, says why it dropped the rest.

agentray filter --run runs/rollout --out runs/filtered
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from agentray.config import FilterConfig
from agentray.errors import DataError
from agentray.stage import Stage
from agentray.transforms.base import Rule
from agentray.transforms.chain import Beside, Chain, Step
from agentray.transforms.context import Contexts
from agentray.transforms.rules import Completed, Distinct, HasReplies, MaxPerTask, MinReward
from agentray.types import Progress, silent


@dataclass(frozen=True)
class FilterSummary:
    """What the filter read, kept and rejected: `read == kept + sum(rejected.values())`."""

    out: str
    read: int
    kept: int
    rejected: Mapping[str, int]
    kept_by_env: Mapping[str, int]
    set_aside: list[str]
    """Files that could not be read."""


def run(config: FilterConfig, progress: Progress = silent) -> FilterSummary:
    """Filter runs into `config.out`: shards, `rejected.jsonl` and the manifest.

    Raises:
        UsageError: A run does not exist or holds nothing, or `out` overlaps one or holds something else.
        DataError: No trajectory is left.
    """
    stage = Stage("filter", config, config.out, FilterSummary, inputs=config.runs)
    contexts = Contexts(config.runs, config.env)
    with Beside(config.out) as made:
        counts = asyncio.run(Chain(_steps(config), config.runs, made.directory, contexts).run(progress))
        rejected = sum(counts.rejected.values(), Counter[str]())
        if not counts.kept:
            raise DataError(
                f"the filter keeps none of {counts.read} trajectories",
                "; ".join(
                    [f"rejected: {dict(rejected)}", *(f"not read: {each}" for each in counts.set_aside)]
                ),
                "collect more, use a better policy, or lower --set filter.min_reward",
            )
        stage.begin()
        made.move()
    summary = FilterSummary(
        out=str(config.out),
        read=counts.read,
        kept=counts.kept,
        rejected=dict(rejected),
        kept_by_env=dict(counts.kept_by_env),
        set_aside=counts.set_aside,
    )
    return stage.complete(summary, within={"environments": contexts.environments()})


def _steps(config: FilterConfig) -> list[Step]:
    """The rules, cheapest and most telling reason first."""
    steps: list[Step] = [
        ("completed", Completed(Rule.Settings())),
        ("min_reward", MinReward(MinReward.Settings(threshold=config.min_reward))),
        ("has_replies", HasReplies(Rule.Settings())),
    ]
    if config.drop_duplicates:
        steps.append(("distinct", Distinct(Rule.Settings())))
    if config.max_per_task is not None:
        steps.append(("max_per_task", MaxPerTask(MaxPerTask.Settings(limit=config.max_per_task))))
    return steps
