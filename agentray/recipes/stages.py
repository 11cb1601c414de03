"""The stages that a recipe may name: settings class and entry of each, loaded when it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentray import config
from agentray.config import Settings
from agentray.models import resolve_model
from agentray.plugins import load_attribute
from agentray.types import Progress, silent


class FetchConfig(Settings):
    """Weights of a known model, downloaded into the cache once."""

    model: str
    """A known model, or a directory, which is left as it is."""


@dataclass(frozen=True)
class Fetched:
    """Where the weights are."""

    model: str
    path: str


def fetch(settings: FetchConfig, progress: Progress = silent) -> Fetched:
    """Download and convert a model's weights, unless they are there.

    Raises:
        UsageError: There is no such model.
    """
    return Fetched(settings.model, resolve_model(settings.model, lambda line: None))


@dataclass(frozen=True)
class Kind:
    """One kind of stage."""

    settings: type[Settings]
    entry_point: str
    """Of its `run(config, progress) -> Summary`."""
    stage: str
    """Name in its manifest."""
    ray: bool = False
    """Whether it needs Ray, unless its settings say `num_workers = 0`."""
    suffix: str = ""
    """Of what it writes, where that is a file."""
    check: str | None = None
    """Entry point of a function that refuses to go on from a summary, given as plain data."""

    @property
    def writes(self) -> bool:
        """Whether it writes a directory or file of its own; weights are kept in the cache."""
        return "out" in self.settings.model_fields

    def run(self, settings: Settings, progress: Progress) -> Any:
        """Run it; the summary."""
        entry: Callable[[Settings, Progress], Any] = load_attribute(self.entry_point)
        return entry(settings, progress)

    def check_counts(self, counts: Mapping[str, Any]) -> Mapping[str, Any]:
        """The counts, unless nothing can be made of them."""
        if self.check is not None:
            load_attribute(self.check)(counts)
        return counts


KINDS = {
    "fetch": Kind(FetchConfig, "agentray.recipes.stages:fetch", "fetch"),
    "tasks": Kind(config.TasksConfig, "agentray.rollout.tasks:run", "tasks", suffix=".jsonl"),
    "rollout": Kind(
        config.RolloutConfig,
        "agentray.rollout.run:run",
        "rollout",
        ray=True,
        check="agentray.rollout.run:check_counts",
    ),
    "filter": Kind(config.FilterConfig, "agentray.transforms.filtering:run", "filter"),
    "import": Kind(config.ImportConfig, "agentray.formats.transfer:import_", "import"),
    "rescore": Kind(config.RescoreConfig, "agentray.transforms.rescore:run", "rescore"),
    "transform": Kind(config.TransformConfig, "agentray.transforms.run:run", "transform"),
    "mix": Kind(config.MixConfig, "agentray.mix.run:run", "mix"),
    "train": Kind(config.TrainConfig, "agentray.train.run:run", "train", ray=True),
    "tune": Kind(config.TuneConfig, "agentray.tune.run:run", "tune", ray=True),
    "evaluate": Kind(config.EvaluateConfig, "agentray.evaluate.run:run", "evaluate", ray=True),
    "suite": Kind(config.SuiteConfig, "agentray.suites.run:run", "suite", ray=True),
    "contamination": Kind(config.ContaminationConfig, "agentray.contamination.run:run", "contamination"),
    "report": Kind(config.ReportConfig, "agentray.report.run:run", "report"),
}
"""By the name that a recipe gives as `run`."""
