"""The rescore stage: a new parser, reward or rule applied to stored attempts, without a model call.

    agentray rescore runs/after --out runs/rescored --set env.database.max_turns=10

Attempts keep their keys, so that the outcome pairs with other runs; those that cannot be scored again are
excluded and listed with their reason in `refused.jsonl`, what changed in `changed.jsonl`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow.compute as pc
from pydantic import Field

from agentray import manifest
from agentray.config import RescoreConfig
from agentray.data.reading import RunReader
from agentray.errors import DataError, UsageError, closest
from agentray.stage import Stage
from agentray.transforms.base import Outcome, Transform
from agentray.transforms.chain import REJECTED, Beside, Chain
from agentray.transforms.context import Context, Contexts
from agentray.transforms.replay import Verdict, rescore
from agentray.types import Progress, Rejection, Trajectory, silent


class Rescore(Transform):
    """Play the recorded replies again under today's rules; what cannot be played again is rejected.

    Args:
        settings: The checked settings.
        seen: Called with every verdict, in the order in which they come.
    """

    class Settings(Transform.Settings):
        """How long an episode may take."""

        episode_timeout_s: float = Field(600.0, gt=0)
        """Longest time for one episode: reset and every step."""

    settings: Settings

    def __init__(self, settings: Settings, seen: Callable[[Verdict], None] | None = None) -> None:
        super().__init__(settings)
        self._seen = seen

    async def __call__(self, trajectory: Trajectory, context: Context) -> Outcome:
        """The attempt with its new reward; the old one is its metric `reward_before`."""
        verdict = await rescore(trajectory, context.host, self.settings.episode_timeout_s)
        if self._seen is not None:
            self._seen(verdict)
        if verdict.after is None:
            return Rejection(trajectory.key, str(verdict.reason), verdict.detail)
        return verdict.after


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
    """Of the unchanged, attempts that an infrastructure failure ended: without a reward, before or after."""
    mean_reward: Mapping[str, Means]
    """By environment."""


def run(config: RescoreConfig, progress: Progress = silent) -> RescoreSummary:
    """Score the attempts of a run again, into a new run directory.

    Raises:
        UsageError: The run does not exist or is not complete, a setting fits no environment of it, or `out`
            overlaps the run or holds something else.
        DataError: Part of the run cannot be read, or all attempts are refused; nothing is written then.
    """
    stage = Stage("rescore", config, config.out, RescoreSummary, inputs=[config.run])
    manifest.read(config.run)
    _check_settings(config)
    contexts = Contexts([config.run], config.env)
    with Beside(config.out) as made, _Report(made.directory) as report:
        steps = [
            ("rescore", Rescore(Rescore.Settings(episode_timeout_s=config.episode_timeout_s), report.add))
        ]
        chain = Chain(steps, [config.run], made.directory, contexts, config.in_flight)
        asyncio.run(_run(chain, contexts, progress))
        summary = report.summary(config.out)
        if sum(summary.refused.values()) == summary.read:
            raise DataError(
                f"none of {summary.read} attempts can be scored again",
                f"refused: {dict(summary.refused)}, the first because {report.first_refusal}",
                "use the settings that the run was made with, or evaluate again",
            )
        report.close()
        (made.directory / REJECTED).unlink()
        stage.begin()
        made.move()
    environments = contexts.environments()
    settings = {name: each.get("settings") or {} for name, each in environments.items()}
    stage.config = config.model_copy(update={"env": settings})
    return stage.complete(summary, within={"environments": environments})


async def _run(chain: Chain, contexts: Contexts, progress: Progress) -> None:
    try:
        await chain.run(progress, strict=True)
    finally:
        await contexts.close()


def _check_settings(config: RescoreConfig) -> None:
    """Refuse settings of an environment that no attempt is in, and a run without attempts."""
    reader = RunReader(config.run, ["env"])
    reader.check_readable()
    names = pc.unique(reader.outcomes["env"]).to_pylist()
    if not names:
        raise DataError(
            f"{str(config.run)!r} holds no attempt", "all its files are empty", "run its rollout again"
        )
    for name in config.env:
        if name not in names:
            raise UsageError(
                f"no attempt of {str(config.run)!r} is in environment {name!r}",
                closest(name, names),
                f"--set env.{min(names)}.KEY=VALUE",
            )


@dataclass
class _Sums:
    before: float = 0.0
    after: float = 0.0
    n: int = 0


@dataclass
class _Report:
    """Counts verdicts, and lists what changed and what was refused."""

    directory: Path
    first_refusal: str = ""
    _read: int = 0
    _changed: int = 0
    _lost: int = 0
    _refused: Counter[str] = field(default_factory=Counter)
    _sums: dict[str, _Sums] = field(default_factory=dict)
    _files: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> _Report:
        self._changes, self._refusals = map(self._open, ("changed.jsonl", "refused.jsonl"))
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the lists."""
        self._files.close()

    def _open(self, name: str) -> IO[str]:
        return self._files.enter_context((self.directory / name).open("w", encoding="utf-8"))

    def add(self, verdict: Verdict) -> None:
        """Take in a verdict."""
        before, after = verdict.before, verdict.after
        self._read += 1
        self._lost += before.reward is None
        if after is None:
            self._refused[str(verdict.reason)] += 1
            self.first_refusal = self.first_refusal or verdict.detail
            why = {"reason": verdict.reason, "detail": verdict.detail}
            _write(self._refusals, {"key": before.key, **why, "turn": verdict.turn})
            return
        if verdict.changed:
            self._changed += 1
            rewards = {"before": before.reward, "after": after.reward}
            _write(self._changes, {"key": before.key, **rewards, "turn": verdict.turn})
        if before.reward is not None and after.reward is not None:
            sums = self._sums.setdefault(before.task.env, _Sums())
            sums.before, sums.after, sums.n = (
                sums.before + before.reward,
                sums.after + after.reward,
                sums.n + 1,
            )

    def summary(self, out: Path) -> RescoreSummary:
        """What became of the attempts."""
        return RescoreSummary(
            out=str(out),
            read=self._read,
            unchanged=self._read - self._changed - self._refused.total(),
            changed=self._changed,
            refused=dict(sorted(self._refused.items())),
            lost=self._lost,
            mean_reward={
                env: Means(each.before / each.n, each.after / each.n, each.n)
                for env, each in sorted(self._sums.items())
            },
        )


def _write(stream: IO[str], line: Mapping[str, Any]) -> None:
    stream.write(json.dumps(line, ensure_ascii=False) + "\n")
