"""Runs a recipe: checks it whole, then runs, skips or resumes each stage, and says what became of it.

    agentray run quickstart --out runs/quickstart

An interrupted recipe goes on where it stopped: a stage that is complete, with the same settings and inputs,
is not run again, and the others resume as their own commands do.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from agentray import manifest
from agentray.cluster import connected
from agentray.config import Settings
from agentray.config.loading import validated
from agentray.env import build, resolve
from agentray.errors import AgentrayError
from agentray.recipes import pace
from agentray.recipes.recipe import Recipe, Step
from agentray.recipes.references import ABSENT, references
from agentray.recipes.references import resolve as replaced
from agentray.recipes.stages import KINDS
from agentray.types import Progress, silent

STATE = "recipe.json"
"""What became of the stages so far; a report reads it."""


@dataclass(frozen=True)
class StageResult:
    """What became of one stage."""

    name: str
    run: str
    state: Literal["done", "up to date", "skipped"]
    out: str | None
    wall_s: float
    """Seconds that it added: those after its predecessor had ended."""
    counts: Mapping[str, Any]
    """Its summary."""


@dataclass(frozen=True)
class RecipeSummary:
    """What became of a recipe."""

    recipe: str
    out: str
    wall_s: float
    peak_memory_bytes: int
    stages: Sequence[StageResult]
    results: Mapping[str, Any]
    """What it leaves, by name."""
    pace: Mapping[str, Any] = field(default_factory=dict)
    """What it was expected to take, and what a budget cut."""


class Reporter(Protocol):
    """Shows how far a recipe is."""

    def begin(self, lines: Sequence[str]) -> None:
        """Show what is known before the first stage."""

    def stage(self, name: str) -> AbstractContextManager[Progress]:
        """A stage begins; its progress goes where the manager says."""

    def end(self, result: StageResult, left_s: float | None) -> None:
        """A stage has ended; `left_s` is how long the others will take, where that is known."""


def run(recipe: Recipe, reporter: Reporter, minutes: float | None = None) -> RecipeSummary:
    """Run a recipe to its end.

    Args:
        recipe: What to run.
        reporter: Shown its progress.
        minutes: Time that it may take; sizes that its `pace` names are cut to fit.

    Raises:
        UsageError: A setting is wrong, or the budget is too small; nothing has been written then.
        AgentrayError: A stage failed; the message names it.
    """
    started = time.monotonic()
    check(recipe)
    planned = pace.plan(recipe, minutes)
    recipe = planned.recipe
    manifest.make_directory(recipe.out)
    with pace.peak_memory() as peak, ExitStack() as ray:
        running = _Running(recipe, reporter, planned, ray)
        if planned.figures:
            manifest.write_json(recipe.out / pace.PLAN, planned.figures)
        reporter.begin(pace.announcement(planned))
        for group in recipe.groups():
            running.group(group)
            running.write(peak(), time.monotonic() - started)
        results = running.link_results()
    summary = RecipeSummary(
        recipe=recipe.name,
        out=str(recipe.out),
        wall_s=round(time.monotonic() - started, 1),
        peak_memory_bytes=peak(),
        stages=running.done,
        results=results,
        pace=planned.figures,
    )
    counts = {each.name: each.state for each in running.done}
    document = manifest.Manifest("recipe", dict(recipe.settings), counts, {}, summary.wall_s)
    manifest.write(recipe.out, document)
    return summary


def check(recipe: Recipe) -> dict[str, Settings | None]:
    """Settings of every stage as far as they are known before it runs; None for one that is skipped.

    Raises:
        UsageError: A setting or value is wrong, or an environment cannot be built.
    """
    found: dict[str, Settings | None] = {}
    for step in recipe.steps.values():
        if not _wanted(recipe, step):
            found[step.name] = None
            continue
        pending = {
            key
            for key, value in step.settings.items()
            if any(name in recipe.steps and part is not None for name, part in references(value))
        }
        config = _settings(recipe, step, lambda name, part: f"{{{name}.{part}}}", pending)
        found[step.name] = config
        for env in getattr(config, "envs", None) or ():
            build(resolve(env, config.env.get(env)))  # type: ignore[attr-defined]
    return found


def _wanted(recipe: Recipe, step: Step) -> bool:
    """Whether a stage is run."""
    return bool(replaced(step.when, lambda name, _: recipe.settings.get(name)))


def _settings(
    recipe: Recipe, step: Step, result: Callable[[str, str], Any], pending: set[str] | None = None
) -> Settings:
    """A stage's settings.

    Args:
        recipe: Where it stands.
        step: The stage.
        result: From a stage and a field of its result to the value.
        pending: Settings that refer to results not known yet.
    """
    kind = KINDS[step.run]

    lookup = partial(_value, recipe, result)
    values = replaced(dict(step.settings), lookup)
    if kind.writes:
        values.setdefault("out", str(recipe.directory(step)))
    if "env" in kind.settings.model_fields:
        values = {"env": replaced(dict(recipe.env), lookup)} | values
    return validated(kind.settings, step.name, values, pending or set())


def _value(recipe: Recipe, result: Callable[[str, str], Any], name: str, part: str | None) -> Any:
    """What a reference stands for: `out`, a setting, a stage's directory, or a field of its result."""
    if name == "out":
        return str(recipe.out)
    if name in recipe.settings:
        return recipe.settings[name]
    step = recipe.steps[name]
    if not _wanted(recipe, step):
        return ABSENT
    return str(recipe.directory(step)) if part is None else result(name, part)


class _Running:
    """A recipe while it runs."""

    def __init__(self, recipe: Recipe, reporter: Reporter, planned: pace.Planned, ray: ExitStack) -> None:
        self._recipe, self._reporter, self._ray = recipe, reporter, ray
        self._pace, self._figures = pace.Pace(planned.seconds), planned.figures
        self._connected = False
        self._lookup = partial(_value, recipe, self._result)
        self.done: list[StageResult] = []

    def group(self, steps: Sequence[Step]) -> None:
        """Run stages that begin together; they share engines, and each is reported as it ends."""
        wanted = [step for step in steps if _wanted(self._recipe, step)]
        for step in steps:
            if step not in wanted:
                self._end(StageResult(step.name, step.run, "skipped", None, 0.0, {}))
        works = {step.name: self._work(step) for step in wanted}
        with ExitStack() as stack:
            if any(each.uses_ray for each in works.values()):
                from agentray.rollout.engines import ENGINES

                self._connect()
                stack.enter_context(ENGINES.kept())
            others = {step.name: _InThread(works[step.name].run) for step in wanted[1:]}
            for step in wanted:
                started = time.monotonic()
                with self._reporter.stage(step.name) as progress:
                    thread = others.get(step.name)
                    counts = thread.result() if thread else works[step.name].run(progress)
                state: Literal["done", "up to date"] = "up to date" if works[step.name].up_to_date else "done"
                out = None if works[step.name].out is None else str(works[step.name].out)
                wall_s = round(time.monotonic() - started, 1)
                self._end(StageResult(step.name, step.run, state, out, wall_s, counts))

    def write(self, peak_memory_bytes: int, wall_s: float) -> None:
        """Write what became of the stages so far."""
        document = {
            "recipe": self._recipe.name,
            "settings": dict(self._recipe.settings),
            "env": replaced(dict(self._recipe.env), self._lookup),
            "pace": self._figures,
            "stages": [asdict(each) for each in self.done],
            "peak_memory_bytes": peak_memory_bytes,
            "wall_s": round(wall_s, 1),
        }
        manifest.write_json(self._recipe.out / STATE, document)

    def link_results(self) -> dict[str, Any]:
        """What the recipe leaves; a path below `out` becomes a link there."""
        found = replaced(dict(self._recipe.results), self._lookup)
        for name, value in found.items():
            target, link = Path(str(value)), self._recipe.out / name
            if not target.exists() or link == target:
                continue
            if link.is_symlink():
                link.unlink()
            if not link.exists():
                link.symlink_to(os.path.relpath(target.resolve(), self._recipe.out.resolve()))
        return dict(found)

    def _work(self, step: Step) -> _Work:
        config = _settings(self._recipe, step, self._result)
        out = self._recipe.directory(step) if KINDS[step.run].writes else None
        return _Work(step, config, out, _up_to_date(step, config, out))

    def _result(self, name: str, part: str) -> Any:
        """A field of the result of a stage that has ended.

        Raises:
            AgentrayError: Its result has no such field.
        """
        counts = next(each.counts for each in self.done if each.name == name)
        if part not in counts:
            raise AgentrayError(
                f"stage {name!r} has no result {part!r}",
                f"it has {', '.join(counts)}",
                "correct the reference in the recipe",
            )
        return counts[part]

    def _connect(self) -> None:
        """One Ray for all stages."""
        if not self._connected:
            self._connected = True
            self._ray.enter_context(connected())

    def _end(self, result: StageResult) -> None:
        self.done.append(result)
        self._pace.end(result.name, result.wall_s)
        self._reporter.end(result, self._pace.left_s())


@dataclass(frozen=True)
class _Work:
    """A stage that is about to run."""

    step: Step
    config: Settings
    out: Path | None
    up_to_date: bool
    """Whether its directory holds this very run already."""

    @property
    def uses_ray(self) -> bool:
        """Whether one Ray for it and the stages after it saves a start."""
        if self.up_to_date or not KINDS[self.step.run].ray:
            return False
        return getattr(self.config, "num_workers", None) != 0

    def run(self, progress: Progress) -> Mapping[str, Any]:
        """Its summary as plain data.

        Raises:
            AgentrayError: As the stage does; the message names it.
        """
        kind = KINDS[self.step.run]
        try:
            if self.up_to_date and self.out is not None:
                return kind.check_counts(manifest.read(self.out).counts)
            return kind.check_counts(asdict(kind.run(self.config, progress)))
        except AgentrayError as error:
            raise type(error)(f"stage {self.step.name!r}: {error.what}", error.why, error.fix) from error


def _up_to_date(step: Step, config: Settings, out: Path | None) -> bool:
    """Whether a directory holds a complete run with these settings, and its inputs are as they were."""
    if out is None or not manifest.is_complete(out):
        return False
    found = manifest.read(out)
    return (
        found.stage == KINDS[step.run].stage
        and found.config == json.loads(json.dumps(config.model_dump(mode="json"), default=str))
        and all(
            Path(path).exists() and manifest.digest(Path(path)) == digest
            for path, digest in found.inputs.items()
        )
    )


class _InThread:
    """Work in a thread of its own, which does not outlive the program: stages can be resumed."""

    def __init__(self, work: Callable[[Progress], Mapping[str, Any]]) -> None:
        self._future: Future[Mapping[str, Any]] = Future()
        threading.Thread(target=partial(self._run, work, silent), daemon=True).start()

    def result(self) -> Mapping[str, Any]:
        """What came of it; waits, and raises what it raised."""
        return self._future.result()

    def _run(self, work: Callable[[Progress], Mapping[str, Any]], progress: Progress) -> None:
        try:
            self._future.set_result(work(progress))
        except BaseException as problem:
            self._future.set_exception(problem)
