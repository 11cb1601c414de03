"""What a recipe takes: estimated before it starts, fitted to a budget, corrected as stages end.

[pace]
gflops = 860.0                          # of the machine that these seconds were measured on
[pace.seconds.train]
fixed = 24
"num_steps*batch_size" = 0.37           # seconds for each; names of settings
[pace.least]
num_steps = 8                           # what a budget may cut, and the least that still shows something

agentray run quickstart --minutes 5
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentray.errors import MissingDependencyError, UsageError
from agentray.models import cache_directory
from agentray.recipes.recipe import Recipe, Step
from agentray.recipes.references import resolve

PLAN = "pace.json"
"""What was measured and cut, so that an interrupted run goes on with the same sizes."""
_JUDGED_SHARE = 0.1
"""Share of the estimate after whose end the remaining stages are judged by those that have ended."""


@dataclass(frozen=True)
class Planned:
    """A recipe with the sizes that it is run with, and what it is expected to take."""

    recipe: Recipe
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By stage; empty where the recipe says nothing of it."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """The same for `pace.json` and the report."""


def plan(recipe: Recipe, minutes: float | None) -> Planned:
    """The recipe with sizes that fit a budget; an interrupted run goes on with those that it began with.

    Raises:
        UsageError: The budget is too small, or the recipe says nothing of what it takes.
        MissingDependencyError: torch is not installed.
    """
    if not recipe.pace:
        if minutes is not None:
            raise UsageError(
                f"the recipe {recipe.name!r} cannot be fitted to {minutes:g} minutes",
                "it has no [pace], so nobody knows what it takes",
                "leave --minutes out",
            )
        return Planned(recipe)
    speed = gflops()
    begun = recipe.out / PLAN
    if begun.exists() and (found := json.loads(begun.read_text("utf-8")))["minutes"] == minutes:
        taken = with_settings(recipe, {name: size["taken"] for name, size in found["cut"].items()})
    else:
        taken = fitted(recipe, speed, minutes)
    seconds = estimate(taken, speed)
    figures = {
        "gflops": round(speed, 1),
        "estimated_s": round(sum(seconds.values())),
        "stages_s": {name: round(each, 1) for name, each in seconds.items()},
        "minutes": minutes,
        "cut": _cuts(recipe, taken),
    }
    return Planned(taken, seconds, figures)


def estimate(recipe: Recipe, speed: float) -> dict[str, float]:
    """Seconds by stage, as the recipe's own figures have it.

    Args:
        recipe: With its sizes.
        speed: What `gflops` measured; all costs but downloads are taken as proportional to it.

    Raises:
        UsageError: A figure of the recipe cannot be read.
    """
    slower = float(recipe.pace["gflops"]) / speed
    found = {}
    for step in recipe.steps.values():
        if not resolve(step.when, lambda name, _: recipe.settings.get(name)):
            continue
        costs = recipe.pace.get("seconds", {}).get(step.name, {})
        seconds = sum(float(each) * _size(recipe, term) for term, each in costs.items())
        if step.run == "fetch":
            found[step.name] = 0.0 if _fetched(recipe, step) else seconds
        else:
            found[step.name] = seconds * slower
    return found


def fitted(recipe: Recipe, speed: float, minutes: float | None) -> Recipe:
    """The recipe with sizes that fit a number of minutes, all cut by the same share.

    Raises:
        UsageError: Even the least sizes take longer.
    """
    if minutes is None:
        return recipe
    least: Mapping[str, int] = recipe.pace.get("least", {})
    needed_s = 0.0
    for percent in range(100, -1, -2):
        sizes = {
            name: max(min(size, recipe.settings[name]), round(recipe.settings[name] * percent / 100))
            for name, size in least.items()
        }
        cut = with_settings(recipe, sizes)
        needed_s = sum(estimate(cut, speed).values())
        if needed_s <= 60 * minutes:
            return cut
    raise UsageError(
        f"{minutes:g} minutes are too few for the recipe {recipe.name!r}",
        f"with the least sizes it takes about {duration(needed_s)} at this machine's {speed:.0f} GFLOP/s",
        f"--minutes {math.ceil(needed_s / 60)}",
    )


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with some settings replaced."""
    return replace(recipe, settings={**recipe.settings, **settings})


def gflops() -> float:
    """Speed of bfloat16 matrix products of training's shape, in 10⁹ operations per second; takes 3 s.

    It runs in a process of its own, so that this one never loads torch.

    Raises:
        MissingDependencyError: torch is not installed.
    """
    done = subprocess.run([sys.executable, "-m", "agentray.train.speed"], capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MissingDependencyError("training needs torch", last, 'pip install "agentray[train]"')
    return float(done.stdout)


def announcement(planned: Planned) -> list[str]:
    """What is expected, in a line for whoever waits; nothing where nobody knows."""
    if not planned.figures:
        return []
    seconds = planned.figures["estimated_s"]
    ready = time.strftime("%H:%M", time.localtime(time.time() + seconds))
    speed = f"{planned.figures['gflops']:.0f} GFLOP/s in bfloat16"
    cut = reductions(planned.figures)
    return ["; ".join([f"{speed}: this takes about {duration(seconds)}, until {ready}", *cut])]


def reductions(figures: Mapping[str, Any]) -> list[str]:
    """What was cut, in words."""
    return [f"{name} {size['taken']} instead of {size['full']}" for name, size in figures["cut"].items()]


def duration(seconds: float) -> str:
    """`45 s`, `6 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@dataclass
class Pace:
    """How far the stages are, against what they were expected to take."""

    expected: Mapping[str, float]
    """Seconds by stage."""
    _ended: dict[str, float] = field(default_factory=dict)

    def end(self, name: str, wall_s: float) -> None:
        """Note that a stage has ended."""
        self._ended[name] = wall_s

    def left_s(self) -> float | None:
        """Seconds that the other stages take, if they miss their estimates as those that ended did."""
        if not self.expected:
            return None
        left = sum(seconds for name, seconds in self.expected.items() if name not in self._ended)
        judged = [name for name in self._ended if self.expected.get(name)]
        expected = sum(self.expected[name] for name in judged)
        if expected < _JUDGED_SHARE * sum(self.expected.values()):
            return left
        return left * sum(self._ended[name] for name in judged) / expected


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Watch the machine's available memory; the result is its largest drop so far, in bytes.

    A drop counts everything that was started, Ray's daemons and shared memory included, and counts it once.
    """
    from agentray.serving.run import available_bytes

    before = available_bytes()
    lowest = before
    stop = threading.Event()

    def watch() -> None:
        nonlocal lowest
        while not stop.wait(0.5):
            lowest = min(lowest, available_bytes())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: before - lowest
    finally:
        stop.set()
        thread.join()


def _size(recipe: Recipe, term: str) -> float:
    """What a term counts: 1 for `fixed`, else the product of the settings that it names."""
    names: Sequence[str] = [] if term == "fixed" else [each.strip() for each in term.split("*")]
    size = 1.0
    for name in names:
        value = recipe.settings.get(name)
        if not isinstance(value, int | float):
            raise UsageError(
                f"[pace] of the recipe {recipe.name!r} names {name!r}",
                f"it is {value!r}, not a size",
                "name settings that are numbers",
            )
        size *= value
    return size


def _fetched(recipe: Recipe, step: Step) -> bool:
    """Whether the weights that a stage fetches are on this machine."""
    model = str(resolve(step.settings.get("model", ""), lambda name, _: recipe.settings.get(name)))
    return Path(model).is_dir() or (cache_directory() / "models" / model).is_dir()


def _cuts(full: Recipe, taken: Recipe) -> dict[str, dict[str, int]]:
    """Which sizes a budget cut: `{name: {"full": …, "taken": …}}`."""
    pairs = {name: (full.settings[name], taken.settings[name]) for name in full.pace.get("least", {})}
    return {name: {"full": a, "taken": b} for name, (a, b) in pairs.items() if a != b}
