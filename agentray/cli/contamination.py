"""`agentray contamination`: how much of the test sets also occurs in the training text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agentray.cli import console
from agentray.cli.options import ConfigFile, DryRun, Json, Out, Sets, resolved
from agentray.config import ContaminationConfig

if TYPE_CHECKING:
    from agentray.contamination.overlap import Overlap
    from agentray.contamination.run import ContaminationSummary

_SHOWN_CHARACTERS = 240
_SHOWN_NAMES = 20


def contamination(
    train: Annotated[
        list[str] | None,
        typer.Option(help="[NAME=]PATH, FILE:FIELD or env:ENVIRONMENT/SPLIT; may be repeated."),
    ] = None,
    test: Annotated[list[str] | None, typer.Option(help="The same for test sets; may be repeated.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Model whose tokenizer to use; default: words.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Maximum number of mismatches in a span.")] = None,
    num_tasks: Annotated[int | None, typer.Option(help="Tasks of each env: source.")] = None,
    out: Out = None,
    config: ConfigFile = None,
    sets: Sets = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Find test examples in training text; exit with 1 if a test task is among the training tasks."""
    from agentray.contamination.run import run

    values = {"train": train, "test": test, "tokenizer": tokenizer, "budget": budget, "num_tasks": num_tasks}
    settings = resolved(ContaminationConfig, "contamination", config, sets, dry_run, out=out, **values)
    with console.progress("contamination") as progress:
        summary = run(settings, progress)
    if as_json:
        console.show(summary, as_json=True)
    else:
        _show(summary)
    raise typer.Exit(1 if summary.same_tasks else 0)


def _show(summary: ContaminationSummary) -> None:
    """The table, the spans behind it, and the tasks that are on both sides."""
    console.table({_label(each): _row(each) for each in summary.overlaps})
    for name, text in summary.training.items():
        size = f"{text.documents} documents, {text.text_bytes / 1e6:.1f} MB, {text.tokens} tokens"
        print(f"{name}: {size}, excluded: {dict(text.left_out) or 'none'}")
    for name, left_out in summary.test_left_out.items():
        if left_out:
            print(f"{name}, excluded: {dict(left_out)}")
    for each in summary.overlaps:
        if dirty := [one.example for one in each.contaminated[: each.dirty]]:
            more = ", …" if len(dirty) > _SHOWN_NAMES else ""
            print(f"{_label(each)}, dirty: {', '.join(dirty[:_SHOWN_NAMES])}{more}")
    for each in summary.overlaps:
        for span in each.passages:
            print(f"\n{_label(each)}: {span.num_tokens} tokens in {span.num_examples} examples")
            print(f"  test  {span.test_example}: {_short(span.test_text)}")
            print(f"  train {span.train_source} {span.train_example}: {_short(span.train_text)}")
    for task in summary.same_tasks[:_SHOWN_NAMES]:
        where = f"{task.train} {task.train_task} and {task.test} {task.test_task}"
        print(f"same task: {where} ({task.env}, fingerprint {task.fingerprint})")
    if len(summary.same_tasks) > _SHOWN_NAMES:
        print(f"same task: {len(summary.same_tasks) - _SHOWN_NAMES} more, all of them with --json")


def _label(each: Overlap) -> str:
    return f"{each.train} → {each.test}"


def _row(each: Overlap) -> dict[str, str | int]:
    rate = each.contamination_rate
    return {
        "tokens %": "-" if rate is None else f"{100 * rate:.2f}",
        "mean %": f"{100 * each.mean_example_rate:.2f}",
        "clean": each.clean,
        "dirty": each.dirty,
        "n": each.num_examples,
        "too short": each.num_short,
    }


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"
