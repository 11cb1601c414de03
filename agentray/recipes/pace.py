"""What the quickstart takes: measured on this machine first, fitted to a budget, told as the stages end.

agentray quickstart --minutes 5
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentray.errors import MissingDependencyError, UsageError
from agentray.models import cache_directory

if TYPE_CHECKING:
    from agentray.recipes.quickstart import QuickstartConfig

PLAN = "pace.json"
"""What was measured and cut, so that an interrupted run goes on with the same sizes."""
BENCHMARK_TASKS = 60
"""AgentBench's development records."""
_REFERENCE_GFLOPS = 860.0
"""Speed, idle, of the machine that the costs below were measured on: two cores of an AMD EPYC. Those of
engines are from a run beside other work, divided by how much slower its training was than an idle one."""
_WEIGHTS_S, _ROLLOUT_S, _MIX_S = 16.0, 6.0, 4.0
_ENGINE_S = 20.0
"""From starting an engine to its first reply."""
_ANSWER_S = 0.22
"""A general answer, beside the other replies."""
_BASE_TASK_S = {"alfworld": 0.4, "database": 0.13, "benchmark": 0.13}
"""A task of the base model, which soon ends with nonsense."""
_TASK_S = {"alfworld": 1.4, "database": 0.35, "benchmark": 0.35}
"""A task of the tuned model."""
_TRAIN_START_S = 24.0
"""Ray Train's and DeepSpeed's start, the losses before and after, and writing the model."""
_SAMPLE_TOKENS = {"alfworld": 560, "database": 165, "general": 95}
"""Tokens that one more sample of a step costs, with its part of the instruction that a row shares."""
_TOKENS_PER_S, _LAYERS = 430.0, 30
"""Training speed with no layer frozen. A frozen layer saves two thirds of its work, the backward pass."""
_LEAST = {"num_steps": 8, "num_test": 10, "num_general": 40}
"""Sizes that a budget may cut, and the least that still shows something."""


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


def estimate(config: QuickstartConfig, speed: float, *, fetched: bool) -> dict[str, float]:
    """Seconds by stage.

    Args:
        config: The sizes.
        speed: What `gflops` measured; all costs but the download are taken as proportional to it.
        fetched: Whether the weights are on this machine.
    """
    agents = {"alfworld": config.num_alfworld, "database": config.num_database}
    tests = {name: config.num_test for name, size in agents.items() if size}
    if config.benchmark is not None:
        tests["benchmark"] = BENCHMARK_TASKS
    mean = sum(size * _SAMPLE_TOKENS[name] for name, size in agents.items()) / sum(agents.values())
    sample = config.eta * mean + (1 - config.eta) * _SAMPLE_TOKENS["general"]
    work = 1 - 2 / 3 * min(config.frozen_layers, _LAYERS) / _LAYERS
    tokens = config.num_steps * config.batch_size * sample * work
    seconds = {
        "rollout": _ROLLOUT_S,
        "distill": _ENGINE_S + _ANSWER_S * config.num_general,
        "evaluate base": sum(_BASE_TASK_S[name] * count for name, count in tests.items()),
        "mix": _MIX_S,
        "train": _TRAIN_START_S + tokens / _TOKENS_PER_S,
        "evaluate tuned": _ENGINE_S + sum(_TASK_S[name] * count for name, count in tests.items()),
    }
    slower = _REFERENCE_GFLOPS / speed
    return {"weights": 0.0 if fetched else _WEIGHTS_S} | {
        name: seconds * slower for name, seconds in seconds.items()
    }


def plan(config: QuickstartConfig) -> tuple[QuickstartConfig, dict[str, Any]]:
    """The settings with sizes that fit the budget, and what the report says of it.

    An interrupted run goes on with the sizes that it began with.

    Raises:
        UsageError: The budget is too small.
        MissingDependencyError: torch is not installed.
    """
    speed = gflops()
    fetched = Path(config.model).is_dir() or (cache_directory() / "models" / config.model).is_dir()
    begun = config.out / PLAN
    if begun.exists() and (found := json.loads(begun.read_text("utf-8")))["minutes"] == config.minutes:
        taken = config.model_copy(update={name: size["taken"] for name, size in found["cut"].items()})
    else:
        taken = fitted(config, speed, fetched=fetched)
    stages = estimate(taken, speed, fetched=fetched)
    return taken, {
        "gflops": round(speed, 1),
        "estimated_s": round(sum(stages.values())),
        "stages_s": {name: round(seconds, 1) for name, seconds in stages.items()},
        "minutes": config.minutes,
        "cut": _cuts(config, taken),
    }


def announcement(planned: Mapping[str, Any]) -> str:
    """What `plan` found, in a line for whoever waits."""
    seconds = planned["estimated_s"]
    ready = time.strftime("%H:%M", time.localtime(time.time() + seconds))
    speed = f"{planned['gflops']:.0f} GFLOP/s in bfloat16"
    return "; ".join([f"{speed}: this takes about {duration(seconds)}, until {ready}", *reductions(planned)])


def reductions(planned: Mapping[str, Any]) -> list[str]:
    """What was cut, in words."""
    cut = planned["cut"].items()
    return [f"{name} {size['taken']} instead of {size['full']}" for name, size in cut]


def fitted(config: QuickstartConfig, speed: float, *, fetched: bool) -> QuickstartConfig:
    """The settings with sizes that fit `config.minutes`, all cut by the same share.

    Raises:
        UsageError: Even the least sizes take longer.
    """
    if config.minutes is None:
        return config
    for percent in range(100, -1, -2):
        sizes = {
            name: max(min(least, getattr(config, name)), round(getattr(config, name) * percent / 100))
            for name, least in _LEAST.items()
        }
        cut = config.model_copy(update=sizes)
        needed_s = sum(estimate(cut, speed, fetched=fetched).values())
        if needed_s <= 60 * config.minutes:
            return cut
    least_minutes = -(-needed_s // 60)
    raise UsageError(
        f"{config.minutes:g} minutes are too few for the quickstart",
        f"with the least sizes it takes about {duration(needed_s)} at this machine's {speed:.0f} GFLOP/s",
        f"--minutes {least_minutes:g}",
    )


def _cuts(full: QuickstartConfig, taken: QuickstartConfig) -> dict[str, dict[str, int]]:
    """Which sizes a budget cut: `{name: {"full": …, "taken": …}}`."""
    pairs = {name: (getattr(full, name), getattr(taken, name)) for name in _LEAST}
    return {name: {"full": a, "taken": b} for name, (a, b) in pairs.items() if a != b}


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

    def end(self, name: str, result: str, wall_s: float) -> str:
        """Note that a stage has ended; its line, with the time left."""
        self._ended[name] = wall_s
        left_s = self.left_s()
        left = f"about {duration(left_s)} left" if left_s else "done"
        return f"{name:<15} {result:<60} {duration(wall_s):>11}   {left}"

    def left_s(self) -> float:
        """Seconds that the other stages will take, if they miss what was expected as those that ended did."""
        left = sum(seconds for name, seconds in self.expected.items() if name not in self._ended)
        judged = [name for name in self._ended if name != "weights" and name in self.expected]
        expected = sum(self.expected[name] for name in judged)
        if expected < 0.1 * sum(self.expected.values()):
            return left
        return left * sum(self._ended[name] for name in judged) / expected


def shown(counts: Mapping[str, Any]) -> str:
    """A stage's counts on one line; tables and paths in them are left out."""
    plain = {n: value for n, value in counts.items() if n != "path" and not isinstance(value, Mapping)}
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in plain.items()
    )


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Watch the machine's available memory; the result is its largest drop so far, in bytes.

    A drop counts everything that was started, Ray's daemons and shared memory included, and counts it once.
    """
    from agentray.serving.run import available_bytes

    before = available_bytes() or 0
    lowest = before
    stop = threading.Event()

    def watch() -> None:
        nonlocal lowest
        while not stop.wait(0.5):
            lowest = min(lowest, available_bytes() or lowest)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: before - lowest
    finally:
        stop.set()
        thread.join()
