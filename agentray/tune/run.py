"""The tune stage: Ray Tune over η, on the one tokenized corpus that `agentray mix` wrote.

    agentray tune --data runs/mixed --model smollm2-135m --env database --eta 0.2 --eta 0.5 --out runs/tune

The same command goes on where a sweep was interrupted: finished trials are kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.cluster import cause, connected
from agentray.config import TuneConfig
from agentray.env import build, resolve
from agentray.errors import AgentrayError, MissingDependencyError
from agentray.mix.corpus import read_corpus
from agentray.models import resolve_model
from agentray.types import Progress, silent


@dataclass(frozen=True)
class Trial:
    """What one value of η led to."""

    eta: float
    agent: float
    """Mean over environments of the mean reward on unseen tasks."""
    scores: Mapping[str, float]
    """Mean reward by environment."""
    general_before: float | None
    """General validation loss of the base model; None without general data."""
    general_after: float | None
    """The same of the tuned model."""
    model: str


@dataclass(frozen=True)
class TuneSummary:
    """A sweep, and the η it recommends."""

    out: str
    recommended_eta: float
    why: str
    trials: Mapping[str, Trial]
    wall_s: float


def run(config: TuneConfig, progress: Progress = silent) -> TuneSummary:
    """Run all trials.

    Raises:
        UsageError: The data, model, environments or settings are wrong.
        MissingDependencyError: Ray Tune is not installed.
        AgentrayError: A trial failed.
    """
    started = time.monotonic()
    _check(config)
    manifest.make_directory(config.out)
    with connected():
        trials = _sweep(config, progress)
    best, why = recommend(trials, config.max_general_loss)
    rows = {f"{trial.eta:g}": trial for trial in trials}
    summary = TuneSummary(str(config.out), best.eta, why, rows, time.monotonic() - started)
    manifest.write_json(config.out / "table.json", [asdict(trial) for trial in trials])
    _plot(trials, config.out / "plot.svg")
    inputs = {str(config.train.data): manifest.digest(config.train.data)}
    counts = {"trials": len(trials), "recommended_eta": best.eta}
    document = manifest.Manifest("tune", config.model_dump(mode="json"), counts, inputs, summary.wall_s)
    manifest.write(config.out, document)
    return summary


def recommend(trials: Sequence[Trial], max_general_loss: float) -> tuple[Trial, str]:
    """The best trial and the reason: most agent ability among those that kept general ability.

    Args:
        trials: At least one.
        max_general_loss: Largest relative rise of the general loss that counts as kept.
    """

    def rise(trial: Trial) -> float:
        if trial.general_before is None or trial.general_after is None:
            return 0.0
        return trial.general_after / trial.general_before - 1

    keeping = [trial for trial in trials if rise(trial) <= max_general_loss]
    if keeping:
        best = max(keeping, key=lambda trial: (trial.agent, -rise(trial)))
        return best, f"most agent ability with the general loss at most {max_general_loss:.0%} up"
    best = min(trials, key=rise)
    return best, f"no η kept the general loss within {max_general_loss:.0%}; this one raised it least"


def nested(data: Path | None, model: str | None, envs: list[str] | None, out: Path | None) -> dict[str, Any]:
    """Command-line options as the tables of a `TuneConfig`."""
    return {"train": {"data": data, "model": model}, "evaluate": {"envs": envs}, "out": out}


def _check(config: TuneConfig) -> None:
    """Refuse what would end every trial, before the first one starts.

    Raises:
        UsageError: The data, a value of η, the model, an environment or its settings are wrong.
    """
    corpus = read_corpus(config.train.data)
    for eta in config.etas:
        corpus.stream(eta)
    resolve_model(config.train.model)
    for env in config.evaluate.envs:
        build(resolve(env, config.evaluate.env.get(env)))


def _sweep(config: TuneConfig, progress: Progress) -> list[Trial]:
    """Let Ray Tune run the trials; returns them by rising η."""
    try:
        from ray import tune

        from agentray.train.run import absolute
    except ImportError as error:
        raise MissingDependencyError(
            "a sweep needs Ray Tune", str(error), 'pip install "agentray[train]"'
        ) from error
    done: list[float] = []

    class Report(tune.Callback):  # type: ignore[misc]
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            done.append(trial.config["eta"])
            progress(len(done), len(config.etas), eta=trial.config["eta"])

    moved = config.model_copy(update={"out": config.out.resolve(), "train": absolute(config.train)})
    shared = moved.model_dump(mode="json")
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_trial, shared=shared), {"CPU": 0.1}),
        param_space={"eta": tune.grid_search(sorted(set(config.etas)))},
        tune_config=tune.TuneConfig(max_concurrent_trials=config.max_concurrent),
        run_config=tune.RunConfig(
            name="ray_tune", storage_path=str(config.out.resolve()), callbacks=[Report()], verbose=0
        ),
    )
    results = tuner.fit()
    if results.errors:
        raise _failed(results.errors[0]) from results.errors[0]
    trials = [Trial(**result.metrics["trial"]) for result in results]
    return sorted(trials, key=lambda trial: trial.eta)


def _failed(error: BaseException) -> AgentrayError:
    """Why a trial failed; its own error, where Ray hands one back."""
    problem = cause(error)
    if isinstance(problem, AgentrayError):
        return AgentrayError(f"a trial failed: {problem.what}", problem.why, problem.fix)
    lines = str(error).strip().splitlines()
    return AgentrayError("a trial failed", lines[-1] if lines else repr(error), "run the same command again")


def _trial(sampled: dict[str, Any], *, shared: Mapping[str, Any]) -> None:
    """Train and score one η; runs in a Ray Tune trial. Its stages skip what is finished."""
    from ray import tune

    from agentray.evaluate.run import run as evaluate
    from agentray.train.run import run as train

    config, eta = TuneConfig.model_validate(shared), float(sampled["eta"])
    out = config.out / f"eta-{eta:g}"
    trained = train(config.train.model_copy(update={"eta": eta, "out": out / "train"}))
    scored = evaluate(config.evaluate.model_copy(update={"policy": trained.model, "out": out / "evaluate"}))
    scores = {name: score.mean for name, score in scored.scores.items()}
    trial = Trial(
        eta=eta,
        agent=sum(scores.values()) / len(scores),
        scores=scores,
        general_before=_mean(trained.validation_before),
        general_after=_mean(trained.validation_after),
        model=trained.model,
    )
    tune.report({"trial": asdict(trial)})


def _mean(losses: Mapping[str, float]) -> float | None:
    return sum(losses.values()) / len(losses) if losses else None


def _plot(trials: Sequence[Trial], path: Path) -> None:
    from agentray.report.charts import write_curve

    curves = {"agent ability (mean reward)": [(trial.eta, trial.agent) for trial in trials]}
    general = [(trial.eta, trial.general_after) for trial in trials if trial.general_after is not None]
    if general:
        curves["general loss (nats per token)"] = general
    write_curve(curves, path, "Agent and general ability over η")
