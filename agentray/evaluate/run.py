"""The evaluate stage: rollouts on tasks that training never saw, and `scores.json` beside them.

agentray evaluate --env count --policy expert
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentray import manifest
from agentray.config import EvaluateConfig, RolloutConfig
from agentray.errors import without_secrets
from agentray.evaluate.outcomes import read_outcomes
from agentray.evaluate.score import Score, score, write_scores
from agentray.models import CARD
from agentray.rollout.run import run as rollout
from agentray.stage import Stage
from agentray.types import Progress, silent


@dataclass(frozen=True)
class EvaluateSummary:
    """Scores of one policy."""

    policy: str
    split: str
    scores: Mapping[str, Score]
    out: str | None
    wall_s: float
    num_turns: int
    completion_tokens: int
    failed_by_reason: Mapping[str, int]
    """Why attempts failed, and how many."""
    answered_by: Sequence[Mapping[str, str | None]]
    """Model, address and version of everyone who answered."""
    adapted: Mapping[str, Sequence[str]]
    """By endpoint, what it is asked differently because it refused the usual way."""


def run(config: EvaluateConfig, progress: Progress = silent) -> EvaluateSummary:
    """Score a policy.

    Raises:
        UsageError: An environment, policy or data file is unknown.
        PolicyError: The policy cannot act.
        DataError: No attempt of an environment could be scored.
    """
    with tempfile.TemporaryDirectory(prefix="agentray-evaluate-") as temporary:
        out = config.out or Path(temporary)
        # The rollout inside knows whether the directory holds another run, and goes on with its own.
        inputs = [Path(config.policy) / CARD, *([config.tasks] if config.tasks else [])]
        stage = Stage("evaluate", config, out, EvaluateSummary, inputs=inputs, identity={})
        chosen = ("envs", "split", "num_tasks") if config.tasks else ()
        plan = RolloutConfig(**config.model_dump(exclude={"out", *chosen}), out=out)
        done = rollout(plan, progress)
        made = manifest.read(out)
        if config.tasks:  # the file said what the options do not
            found = {name: made.config[name] for name in ("env", *chosen)}
            stage.config = config = config.model_copy(update=found)
        outcomes = read_outcomes(out, plan)
        scores = score(outcomes.attempts, outcomes.environments())
        write_scores(out, outcomes.attempts[0].policy, scores)
        summary = EvaluateSummary(
            policy=without_secrets(config.policy),
            split=config.split,
            scores=scores,
            out=str(config.out) if config.out else None,
            wall_s=done.wall_s,
            num_turns=done.num_turns,
            completion_tokens=done.completion_tokens,
            failed_by_reason=done.failed_by_reason,
            answered_by=done.answered_by,
            adapted=done.adapted,
        )
        return stage.complete(summary, made.counts)
