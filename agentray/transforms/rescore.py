"""The rescore stage: a new parser, reward or rule applied to stored attempts, without a model call.

    agentray rescore runs/after --out runs/rescored --set env.database.max_turns=10

Attempts keep their keys, so that the outcome pairs with other runs; what cannot be scored again is left out
and listed with its reason in `refused.jsonl`, what changed in `changed.jsonl`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.config import RescoreConfig
from agentray.data import stored
from agentray.data.store import SEGMENT_ROWS, write_shard
from agentray.data.stored import StoredRun
from agentray.env import resolve
from agentray.errors import DataError, UsageError, closest
from agentray.rollout.hosting import Host
from agentray.transforms.replay import Verdict, rescore
from agentray.types import Progress, Trajectory, silent


@dataclass(frozen=True)
class Means:
    """Mean reward of the attempts that have a reward before and after."""

    before: float
    after: float
    n: int


@dataclass(frozen=True)
class RescoreSummary:
    """What became of the attempts: `read == unchanged + changed + sum(refused.values())`."""

    out: str
    read: int
    unchanged: int
    changed: int
    """Reward, status, actions or metrics differ from the record."""
    refused: Mapping[str, int]
    """Attempts whose verdict does not follow from the record, by reason; not in the new run."""
    lost: int
    """Of the unchanged, attempts that the machinery lost: they have no reward, before or after."""
    mean_reward: Mapping[str, Means]
    """By environment."""


def run(config: RescoreConfig, progress: Progress = silent) -> RescoreSummary:
    """Score the attempts of a run again, into a new run directory.

    Raises:
        UsageError: The run does not exist or is not complete, a setting fits no environment of it, or `out`
            overlaps the run or holds something else.
        DataError: Part of the run cannot be read, or all attempts are refused; nothing is written then.
    """
    started = time.monotonic()
    manifest.check_output(config.out, "rescore", [config.run])
    source = stored.read(config.run)
    settings = _settings(source, config)
    verdicts = asyncio.run(_all(source, settings, config, progress))
    summary = _summary(verdicts, config.out)
    if sum(summary.refused.values()) == summary.read:
        raise DataError(
            f"none of {summary.read} attempts can be scored again",
            f"refused: {dict(summary.refused)}, the first because {verdicts[0].detail}",
            "use the settings that the run was made with, or evaluate again",
        )
    manifest.start_over(config.out, "rescore", [config.run])
    _write(config.out, verdicts)
    counts = {key: value for key, value in asdict(summary).items() if key != "out"}
    document = {**config.model_dump(mode="json"), "env": settings}
    inputs = {str(config.run): manifest.digest(config.run)}
    manifest.write(
        config.out, manifest.Manifest("rescore", document, counts, inputs, time.monotonic() - started)
    )
    return summary


def _settings(source: StoredRun, config: RescoreConfig) -> dict[str, dict[str, Any]]:
    """The settings of the run's environments, with the new ones over them."""
    names = {each.task.env for each in source.trajectories}
    for name in config.env:
        if name not in names:
            raise UsageError(
                f"no attempt of {str(config.run)!r} is in environment {name!r}",
                closest(name, names),
                f"--set env.{min(names)}.KEY=VALUE",
            )
    return {
        name: {**source.settings.get(name, {}), **config.env.get(name, {})}
        for name in sorted(names | source.settings.keys())
    }


async def _all(
    source: StoredRun, settings: Mapping[str, Mapping[str, Any]], config: RescoreConfig, progress: Progress
) -> list[Verdict]:
    """Verdicts in the order of the run."""
    names = sorted({each.task.env for each in source.trajectories})
    hosts = {name: Host(resolve(name, settings.get(name))) for name in names}
    places = asyncio.Semaphore(config.in_flight)
    done = 0

    async def one(trajectory: Trajectory) -> Verdict:
        nonlocal done
        async with places:
            verdict = await rescore(trajectory, hosts[trajectory.task.env], config.episode_timeout_s)
        done += 1
        progress(done, len(source.trajectories))
        return verdict

    try:
        return list(await asyncio.gather(*map(one, source.trajectories)))
    finally:
        for host in hosts.values():
            await host.close()


def _summary(verdicts: Sequence[Verdict], out: Path) -> RescoreSummary:
    refused = Counter(each.reason for each in verdicts if each.reason is not None)
    changed = sum(each.changed for each in verdicts)
    return RescoreSummary(
        out=str(out),
        read=len(verdicts),
        unchanged=len(verdicts) - changed - refused.total(),
        changed=changed,
        refused={str(reason): count for reason, count in sorted(refused.items())},
        lost=sum(each.before.reward is None for each in verdicts),
        mean_reward=_means(verdicts),
    )


def _means(verdicts: Iterable[Verdict]) -> dict[str, Means]:
    rewards: dict[str, list[tuple[float, float]]] = {}
    for each in verdicts:
        if each.after is not None and each.before.reward is not None and each.after.reward is not None:
            rewards.setdefault(each.before.task.env, []).append((each.before.reward, each.after.reward))
    return {
        env: Means(sum(b for b, _ in pairs) / len(pairs), sum(a for _, a in pairs) / len(pairs), len(pairs))
        for env, pairs in sorted(rewards.items())
    }


def _write(out: Path, verdicts: Sequence[Verdict]) -> None:
    kept = [each.after for each in verdicts if each.after is not None]
    for number, start in enumerate(range(0, len(kept), SEGMENT_ROWS)):
        write_shard(out / f"shard-{number:06d}.parquet", kept[start : start + SEGMENT_ROWS])
    changed = [
        {
            "key": each.before.key,
            "before": each.before.reward,
            "after": each.after.reward,
            "turn": each.turn,
        }
        for each in verdicts
        if each.after is not None and each.changed
    ]
    refused = [
        {"key": each.before.key, "reason": each.reason, "detail": each.detail, "turn": each.turn}
        for each in verdicts
        if each.after is None
    ]
    for name, rows in (("changed.jsonl", changed), ("refused.jsonl", refused)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / name).write_text(lines, encoding="utf-8")
