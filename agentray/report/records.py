"""What a report says: `report.json` is one `Report`, and the page shows nothing else but the trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agentray.env import ErrorType
from agentray.evaluate.compare import Comparison
from agentray.evaluate.score import Score
from agentray.overall.groups import Results
from agentray.overall.suite import SuiteResult


class Part(BaseModel):
    """A part of it; what a stage wrote beyond these fields is kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class StageTime(BaseModel):
    """How long a stage took."""

    name: str
    wall_s: float
    counts: dict[str, Any] = {}
    state: str = Field("done", exclude=True)


class Pace(Part):
    """Sizes that a budget of time cut."""

    minutes: float | None = None
    cut: dict[str, dict[str, float]] = {}
    """`taken` and `full` by name of the size."""


class RecipeState(Part):
    """What a recipe wrote about its stages."""

    stages: list[StageTime] = []
    wall_s: float | None = None
    peak_memory_bytes: int | None = None
    pace: Pace = Pace()


class Training(BaseModel):
    """Loss curves of a training run."""

    steps: list[int]
    loss: list[float | None]
    loss_by_source: dict[str, list[float | None]]
    tokens_per_s: float
    tokens: int
    loss_tokens: int


class GeneralLoss(BaseModel):
    """Mean negative log-likelihood of general conversations, in nats per token."""

    before_nll: float
    after_nll: float

    @property
    def change(self) -> float:
        """Relative change; below 0 is better."""
        return (self.after_nll - self.before_nll) / self.before_nll if self.before_nll else 0.0


class Data(BaseModel):
    """What a filter kept, and the mixture that was made of it."""

    read: int
    kept: int
    rejected: dict[str, int]
    eta: float | None = None
    realised: dict[str, Any] = {}


class Trial(Part):
    """One model of a sweep."""

    settings: dict[str, Any]
    """Value of each setting that the sweep varies."""
    recommended: bool = False
    scores: dict[str, float]
    general_before: float | None = None
    general_after: float | None = None


class Sweep(BaseModel):
    """The trials of `agentray tune`."""

    recommended_eta: float | None = None
    trials: list[Trial] = Field(min_length=1)

    @property
    def varied(self) -> str | None:
        """The only setting that has several values, if these are numbers."""
        values = {
            name: [trial.settings.get(name) for trial in self.trials] for name in self.trials[0].settings
        }
        varying = [name for name, found in values.items() if len(set(map(str, found))) > 1]
        numbers = len(varying) == 1 and all(isinstance(each, int | float) for each in values[varying[0]])
        return varying[0] if numbers else None


@dataclass(frozen=True)
class RunCost:
    """What a run took."""

    name: str
    directory: str
    policies: Sequence[str]
    attempts: int
    scored: int
    truncated: int
    failed: int
    turns: int
    prompt_tokens: int | None
    """As far as the policy counted them; None where it did not."""
    completion_tokens: int | None
    attempt_s: float
    """Median time of an attempt."""
    wall_s: float
    stage: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Single:
    """One policy in one environment, with nothing to compare it with; the fields are those of `Score`."""

    score: float
    interval: tuple[float, float]
    n: int
    tasks: int
    failed: int
    family: str
    extra: Mapping[str, Mapping[str, float]]
    """The benchmark's own aggregates, under `score`."""
    n_by_category: Mapping[str, int]
    few: Sequence[str]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, found: Score, settings: Mapping[str, Any]) -> Single:
        """A score as the report shows it."""
        same = {name: getattr(found, name) for name in cls.__dataclass_fields__ if hasattr(found, name)}
        return cls(**{**same, "score": found.mean, "extra": {"score": found.extra}, "settings": settings})


@dataclass(frozen=True)
class TypeCount:
    """How many attempts show an error type, of how many."""

    count: int
    of: int


@dataclass(frozen=True)
class RunErrors:
    """Errors of one run in one environment."""

    of: int
    """Scored attempts."""
    counts: Mapping[str, TypeCount]
    """By error type, the commonest first; only those that occur."""


@dataclass(frozen=True)
class Errors:
    """Errors in one environment."""

    types: Mapping[str, ErrorType]
    runs: Mapping[str, RunErrors]


@dataclass(frozen=True)
class Pair:
    """A further evaluation before and after, e.g. on a benchmark's own records."""

    label: str
    scores: Mapping[str, Comparison]


class Suite(SuiteResult):
    """A general suite's results."""

    directory: str


class Report(BaseModel):
    """All of it; what was not given is None or empty."""

    model_config = ConfigDict(frozen=True)

    stages: list[StageTime] = []
    runs: list[RunCost] = []
    """The base first."""
    scores: dict[str, Comparison] | dict[str, Single] = {}
    """By environment: of the only run, or of the base beside the second."""
    further: dict[str, dict[str, Comparison]] = {}
    """The base beside each further run, by name."""
    left_out: dict[str, dict[str, dict[str, int]]] = {}
    """Attempts that were not compared: by run, environment and side."""
    overall: Results | None = None
    no_overall: str | None = None
    """Why there is none, where some task of the table was measured."""
    errors: dict[str, Errors] = {}
    suites: list[Suite] = []
    pairs: list[Pair] = []
    training: Training | None = None
    general: GeneralLoss | None = None
    data: Data | None = None
    sweep: Sweep | None = None
    recipe: RecipeState = RecipeState()
    versions: dict[str, str] = {}
    commit: str | None = None
    machine: dict[str, Any] = {}
    created: str | None = None
    serve_command: str | None = None
    """Serves the trained model."""

    @property
    def names(self) -> list[str]:
        """Names of the runs, the base first."""
        return [run.name for run in self.runs]

    def document(self) -> dict[str, Any]:
        """Content of `report.json`: what a recipe wrote, and the report's own entries."""
        document = self.model_dump(mode="json", exclude={"recipe", "no_overall"})
        document["suites"] = [each.model_dump(mode="json", exclude_unset=True) for each in self.suites]
        if self.overall is None:
            document["overall"] = {"why_not": self.no_overall} if self.no_overall else {}
        recipe = self.recipe.model_dump(mode="json", exclude={"stages"}, exclude_unset=True)
        return recipe | {name: value for name, value in document.items() if value is not None}
