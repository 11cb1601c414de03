"""The tune stage: Ray Tune over settings of training, on the one tokenized corpus that `agentray mix` wrote.

    agentray tune --data runs/mixed --model smollm2-135m --env database --eta 0.2 --eta 0.5 --out runs/tune

The same command goes on where a sweep was interrupted: finished trials are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.cluster import cause, connected
from agentray.config import TuneConfig
from agentray.env import build, resolve
from agentray.errors import AgentrayError, MissingDependencyError, UsageError
from agentray.mix.corpus import read_corpus
from agentray.models import resolve_model
from agentray.stage import Stage
from agentray.train.batches import stream_of
from agentray.train.run import absolute, identity
from agentray.tune.search import check_search, distributions, scheduler, searcher
from agentray.tune.space import examples, label, with_values
from agentray.tune.trial import run_trial, score_steps
from agentray.tune.trials import Trial, ordered, recommend, write_plot, write_table
from agentray.types import Progress, silent


@dataclass(frozen=True)
class TuneSummary:
    """A sweep, and the trial it recommends."""

    out: str
    recommended_eta: float
    why: str
    trials: Mapping[str, Trial]
    """By value, or by settings and values where several vary."""
    wall_s: float
    recommended: str = ""
    """Key of the recommended trial."""


def run(config: TuneConfig, progress: Progress = silent) -> TuneSummary:
    """Run all trials.

    Raises:
        UsageError: The data, model, environments, space or settings are wrong, or `out` holds another sweep.
        MissingDependencyError: Ray Tune, or the library of the search, is not installed.
        AgentrayError: A trial failed.
    """
    _check(config)
    what = {f"train.{name}": value for name, value in identity(config.train).items()}
    sweep = config.model_dump(mode="json", exclude={"out", "train"})
    stage = Stage(
        "tune",
        config,
        config.out,
        TuneSummary,
        inputs=[config.train.data],
        identity={**what, "sweep": sweep},
        growing=["sweep", "train.num_steps"],
    )
    done = stage.finished()
    if done is not None:
        rows: Mapping[str, Any] = done.trials
        return replace(done, trials={name: Trial(**each) for name, each in rows.items()})
    stage.begin()
    with connected():
        trials = _sweep(config, progress)
    best, why = recommend(trials, config.max_general_loss)
    manifest.write_json(config.out / "table.json", [asdict(trial) for trial in trials])
    write_table(trials, best, config.out / "table.txt")
    write_plot(trials, config.out / "plot.svg")
    named = {label(trial.settings): trial for trial in trials}
    return stage.complete(
        TuneSummary(str(config.out), best.eta, why, named, stage.wall_s, label(best.settings))
    )


def nested(data: Path | None, model: str | None, envs: list[str] | None, out: Path | None) -> dict[str, Any]:
    """Command-line options as the tables of a `TuneConfig`."""
    return {"train": {"data": data, "model": model}, "evaluate": {"envs": envs}, "out": out}


def _check(config: TuneConfig) -> None:
    """Refuse what would end every trial, before the first one starts.

    Raises:
        UsageError: The data, a value of the space, the model, an environment or its settings are wrong.
        MissingDependencyError: The library of the search is not installed.
    """
    corpus = read_corpus(config.train.data)
    for values in examples(config) or [{}]:
        stream_of(corpus, with_values(config, values))
    resolve_model(config.train.model)
    for env in config.evaluate.envs:
        build(resolve(env, config.evaluate.env.get(env)))
    if config.scheduler != "none" and len(score_steps(config)) == 1:
        raise UsageError(
            f"tune.scheduler is {config.scheduler!r}",
            "it has nothing to stop: trials are scored once, after their last step",
            f"--set tune.first_score_steps={max(1, config.train.num_steps // config.score_factor)}",
        )
    check_search(config)


def _sweep(config: TuneConfig, progress: Progress) -> list[Trial]:
    """Let Ray Tune run the trials; returns them by rising values."""
    try:
        import ray
        from ray import tune
    except ImportError as error:
        raise MissingDependencyError(
            "a sweep needs Ray Tune", str(error), 'pip install "agentray[train]"'
        ) from error
    total, done = _num_trials(config), 0

    class Report(tune.Callback):  # type: ignore[misc]
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            nonlocal done
            done += 1
            progress(done, total, trial=label(trial.config))

    moved = config.model_copy(update={"out": config.out.resolve(), "train": absolute(config.train)})
    shared = moved.model_dump(mode="json")
    tuner = tune.Tuner(
        # A trial's workers and engines ask for what they need; Tune wants the trial itself to hold something.
        tune.with_resources(tune.with_parameters(run_trial, shared=shared), {"memory": 1}),
        param_space=distributions(config),
        tune_config=tune.TuneConfig(
            metric="agent",
            mode="max",
            num_samples=config.num_trials,
            search_alg=searcher(config, fitting(config, ray.cluster_resources())),
            scheduler=scheduler(config),
        ),
        run_config=tune.RunConfig(
            name="ray_tune", storage_path=str(config.out.resolve()), callbacks=[Report()], verbose=0
        ),
    )
    results = tuner.fit()
    if results.errors:
        raise _failed(results.errors[0]) from results.errors[0]
    trials = {trial.model: trial for trial in (Trial(**result.metrics["trial"]) for result in results)}
    return ordered(list(trials.values()))  # equal draws share a model


def fitting(config: TuneConfig, cluster: Mapping[str, float]) -> int:
    """How many trials run at once: no more than the cluster has CPUs and GPUs for their workers and engines.

    Args:
        config: The sweep.
        cluster: What the cluster has now, by resource; one trial always runs, so that it may grow.
    """
    train, evaluate = config.train, config.evaluate
    gpus = max(train.num_workers * train.gpus_per_worker, evaluate.num_engines * evaluate.engine.num_gpus)
    needs = {"CPU": train.num_workers, "GPU": gpus}
    room = [int(cluster.get(name, 0) // need) for name, need in needs.items() if need]
    return max(1, min([config.max_concurrent, *room]))


def _num_trials(config: TuneConfig) -> int:
    number = config.num_trials
    for each in config.space.values():
        number *= len(each.grid or [None]) if config.search == "random" else 1
    return number


def _failed(error: BaseException) -> AgentrayError:
    """Why a trial failed; its own error, where Ray hands one back."""
    problem = cause(error)
    if isinstance(problem, AgentrayError):
        return AgentrayError(f"a trial failed: {problem.what}", problem.why, problem.fix)
    lines = str(error).strip().splitlines()
    return AgentrayError("a trial failed", lines[-1] if lines else repr(error), "run the same command again")
