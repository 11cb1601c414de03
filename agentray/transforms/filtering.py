"""The filter stage: reads rollout runs, keeps what earned its reward, says why it dropped the rest.

agentray filter --run runs/rollout --out runs/filtered
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial

from agentray import manifest
from agentray.config import FilterConfig
from agentray.data.store import read_run, write_shard
from agentray.env import build, resolve
from agentray.errors import DataError
from agentray.transforms import filters as rules
from agentray.types import Progress, Trajectory, silent


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
    """Filter runs into `config.out`: `shard-000000.parquet`, `rejected.jsonl` and the manifest.

    Raises:
        UsageError: A run does not exist or holds nothing, or `out` overlaps one or holds something else.
        DataError: No trajectory is left.
    """
    started = time.monotonic()
    manifest.check_output(config.out, "filter", config.runs)
    trajectories: list[Trajectory] = []
    set_aside: list[str] = []
    for directory in config.runs:
        contents = read_run(directory)
        trajectories += contents.trajectories
        set_aside += [f"{directory}/{name}" for name in contents.set_aside]
    chains = {name: _chain(name, config) for name in sorted({each.task.env for each in trajectories})}
    outcome = rules.apply(trajectories, chains)
    if not outcome.kept:
        raise DataError(
            f"the filter keeps none of {outcome.read} trajectories",
            "; ".join([f"rejected: {dict(outcome.rejected)}", *(f"not read: {each}" for each in set_aside)]),
            "collect more, use a better policy, or lower --set filter.min_reward",
        )
    manifest.start_over(config.out, "filter", config.runs)
    write_shard(config.out / "shard-000000.parquet", outcome.kept)
    with (config.out / "rejected.jsonl").open("w", encoding="utf-8") as stream:
        for key, reason in sorted(outcome.reasons):
            stream.write(json.dumps({"key": key, "reason": reason}) + "\n")
    summary = FilterSummary(
        out=str(config.out),
        read=outcome.read,
        kept=len(outcome.kept),
        rejected=outcome.rejected,
        kept_by_env=dict(Counter(each.task.env for each in outcome.kept)),
        set_aside=set_aside,
    )
    inputs = {str(path): manifest.digest(path) for path in config.runs if manifest.is_complete(path)}
    counts = {key: value for key, value in asdict(summary).items() if key not in ("out", "kept_by_env")}
    document = manifest.Manifest(
        "filter", config.model_dump(mode="json"), counts, inputs, time.monotonic() - started
    )
    manifest.write(config.out, document)
    return summary


def _chain(name: str, config: FilterConfig) -> list[rules.Filter]:
    """The filters of one environment, cheapest and most telling reason first."""
    threshold = config.min_reward
    if threshold is None:
        threshold = build(resolve(name, config.env.get(name))).reward_threshold
    chain: list[rules.Filter] = [
        rules.finished,
        partial(rules.min_reward, threshold=threshold),
        rules.has_replies,
    ]
    if config.drop_duplicates:
        chain.append(rules.DropDuplicates())
    if config.max_per_task is not None:
        chain.append(rules.MaxPerTask(config.max_per_task))
    return chain
