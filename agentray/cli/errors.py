"""`agentray errors`: how attempts went wrong, per environment, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentray.cli import console
from agentray.cli.options import Json

if TYPE_CHECKING:
    from agentray.env import ErrorType
    from agentray.evaluate.diagnosis import ErrorCount

    Found = Mapping[str, Mapping[str, ErrorCount]]
    """Counts of one run, by environment and error type."""


def errors(
    directories: Annotated[list[Path], typer.Argument(help="Runs; with two, before and after.")],
    examples: Annotated[int, typer.Option(min=0, help="Number of attempts to name per error type.")] = 0,
    as_json: Json = False,
) -> None:
    """Count the error types of stored attempts, as shares of the scored ones."""
    from agentray.evaluate.diagnosis import ErrorTable, types_of
    from agentray.evaluate.outcomes import iterate_attempts, read_outcomes

    types: dict[str, dict[str, ErrorType]] = {}
    found: dict[str, Found] = {}
    for label, directory in _labelled(directories):
        environments = read_outcomes(directory).environments()
        errors = ErrorTable(environments)
        for each in iterate_attempts(directory):
            errors.add(each)
        found[label] = errors.counts()
        for name, environment in environments.items():
            types.setdefault(name, {each.id: each for each in types_of(environment)})
    if as_json:
        console.show({"types": types, "runs": _limited(found, examples)}, as_json=True)
        return
    for env, known in types.items():
        console.lines([f"{env}: {_sizes(found, env)}"])
        console.table({each.title: _row(found, env, each.id) for each in known.values()})
        console.lines(_examples(found, env, known, examples))
    console.lines(["Types overlap; the rules are in docs/evaluation.md."])


def _labelled(directories: Sequence[Path]) -> list[tuple[str, Path]]:
    labels = ["before", "after"] if len(directories) == 2 else [str(each) for each in directories]
    return list(zip(labels, directories, strict=True))


def _sizes(found: Mapping[str, Found], env: str) -> str:
    """Denominators by run: all attempts for infrastructure failures, the scored ones for other types."""
    from agentray.evaluate.diagnosis import INFRASTRUCTURE

    sizes = []
    for label, each in found.items():
        if env in each:
            scored, attempts = (each[env][kind].of for kind in ("invalid_action", INFRASTRUCTURE))
            sizes.append(f"{label} {scored} scored of {attempts} attempts")
    return ", ".join(sizes)


def _row(found: Mapping[str, Found], env: str, type_id: str) -> dict[str, str]:
    row = {}
    for label, each in found.items():
        count = each.get(env, {}).get(type_id)
        if count is not None:
            share = "-" if count.share is None else f"{100 * count.share:.1f} %"
            row[label] = f"{count.count} ({share})"
    return row


def _examples(found: Mapping[str, Found], env: str, known: Mapping[str, ErrorType], number: int) -> list[str]:
    return [
        f"  {type_id} {label}: {key}"
        for type_id in known
        for label, each in found.items()
        for key in (each[env][type_id].keys[:number] if env in each else ())
    ]


def _limited(found: Mapping[str, Found], number: int) -> dict[str, Any]:
    """Counts as JSON, each with at most `number` keys."""
    return {
        label: {
            env: {
                type_id: {
                    "count": count.count,
                    "of": count.of,
                    "share": count.share,
                    "keys": list(count.keys[:number]),
                }
                for type_id, count in counts.items()
            }
            for env, counts in each.items()
        }
        for label, each in found.items()
    }
