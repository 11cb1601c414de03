"""One trial: train with its settings and score the model, as often as the sweep asks for a score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentray.config import EvaluateConfig, TrainConfig, TuneConfig
from agentray.manifest import write_json
from agentray.mix.corpus import read_corpus
from agentray.tune.space import directory, rounded, with_values
from agentray.tune.trials import Trial


def score_steps(config: TuneConfig) -> list[int]:
    """Steps after which a trial is scored; the last are all."""
    steps, number = [], config.first_score_steps or config.train.num_steps
    while number < config.train.num_steps:
        steps.append(number)
        number *= config.score_factor
    return [*steps, config.train.num_steps]


def run_trial(drawn: dict[str, Any], *, shared: Mapping[str, Any]) -> None:
    """Train and score a model; runs in a Ray Tune trial. What is finished is not done again.

    Args:
        drawn: Value of each setting that varies.
        shared: A dumped `TuneConfig`.
    """
    from ray import tune

    config = TuneConfig.model_validate(shared)
    values = rounded(config, drawn)
    train = with_values(config, values)
    out = config.out / directory(values)
    horizon = train.schedule_steps or train.num_steps
    for steps in score_steps(config):
        part = {"num_steps": steps, "schedule_steps": horizon, "out": out / "train"}
        evaluate = config.evaluate.model_copy(update={"out": out / f"evaluate-{steps}"})
        trial = _scored(train.model_copy(update=part), evaluate, values, out / f"trial-{steps}.json")
        tune.report({"agent": trial.agent, "num_steps": steps, "trial": asdict(trial)})


def _scored(train: TrainConfig, evaluate: EvaluateConfig, values: Mapping[str, Any], path: Path) -> Trial:
    """Train up to a step and score the model; what `path` holds, if it is of the same settings."""
    from agentray.evaluate.run import run as run_evaluate
    from agentray.train.run import identity
    from agentray.train.run import run as run_train

    what = {
        "train": identity(train),
        "evaluate": evaluate.model_dump(mode="json", exclude={"out", "policy", "num_workers", "in_flight"}),
    }
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["identity"] == what:
            return Trial(**known["trial"])
    trained = run_train(train)
    scored = run_evaluate(evaluate.model_copy(update={"policy": trained.model}))
    scores = {name: score.mean for name, score in scored.scores.items()}
    trial = Trial(
        eta=read_corpus(train.data).eta if train.eta is None else train.eta,
        agent=sum(scores.values()) / len(scores),
        scores=scores,
        general_before=_mean(trained.validation_before),
        general_after=_mean(trained.validation_after),
        model=trained.model,
        settings=dict(values),
        num_steps=train.num_steps,
    )
    write_json(path, {"identity": what, "trial": asdict(trial)})
    return trial


def _mean(losses: Mapping[str, float]) -> float | None:
    return sum(losses.values()) / len(losses) if losses else None
