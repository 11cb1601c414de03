"""One settings class per stage; each is one table of a TOML file."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentray.types import Split


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    renamed: ClassVar[Mapping[str, str]] = {}
    """What took the place of a setting that is gone."""


EnvSettings = dict[str, dict[str, Any]]
"""Settings by environment id; each plugin validates its own."""


class TemplateConfig(Settings):
    """How conversations become text."""

    name: str | None = None
    """Which of the tokenizer's named chat templates, or a file with one; None takes its default."""
    variables: dict[str, Any] = {}
    """What the template is told, e.g. `{enable_thinking = false}`."""
    date: datetime.date = datetime.date(2024, 7, 26)
    """The day for templates that show one: the same conversation then always has the same ids."""


class EngineConfig(Settings):
    """A vLLM engine, in an actor for rollouts or behind the served endpoint."""

    max_model_len: int = Field(2048, ge=128)
    """Longest conversation the engine accepts, prompt and reply, in tokens."""
    dtype: Literal["auto", "bfloat16", "float32"] = "bfloat16"
    """Weight type."""
    max_num_seqs: int = Field(64, ge=1)
    """Maximum number of replies generated at once."""
    num_gpus: float = Field(0, ge=0)
    """GPUs per engine; 0 runs on CPU."""
    kv_cache_gib: float = Field(1.0, gt=0)
    """Key-value cache on CPU, in GiB; when the conversations in flight need more, their prompts are computed
    again every turn. A GPU engine sizes its own."""
    start_timeout_s: float = Field(300, gt=0)
    """Longest wait for the engine to load, in seconds."""
    template: TemplateConfig = TemplateConfig()
    """How conversations become text in rollouts; a served endpoint uses the model's own."""


class SamplingConfig(Settings):
    """How replies are drawn."""

    temperature: float = Field(0.0, ge=0, le=2)
    """0 is greedy; engines take no more than 2."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus sampling mass."""
    max_tokens: int = Field(128, ge=1)
    """Longest reply, in tokens; AgentTuning's harness allows 128."""


class EpisodeSettings(Settings):
    """What rollouts and evaluations share: the policy, the tasks, and the limits."""

    envs: list[str]
    """Environment ids; each contributes `num_tasks` tasks."""
    tasks: Path | None = None
    """File of tasks (`agentray tasks`), instead of environments, a split and numbers."""
    policy: str = "expert"
    """`expert`, `random`, the name of a plugin, an `http(s)://…/v1` endpoint or several separated by commas,
    a model id or a model directory."""
    model: str | None = None
    """Model name to ask an HTTP endpoint for; None takes the first it lists, and keeps to it."""
    policy_settings: dict[str, Any] = {}
    """Settings of a policy that is a plugin, as its documentation lists them."""
    sampling: SamplingConfig = SamplingConfig()
    """How replies are drawn; greedy by default."""
    seed: int = 0
    """Task `i` uses `seed + i`, and each further sample adds a fixed stride: the number of workers changes no
    seed, and equal seeds pair two runs."""
    num_workers: int | None = Field(None, ge=0)
    """Rollout actors; None takes one per CPU of the cluster, with 8 or more of the `in_flight` episodes each.
    0 plays in this process, without Ray: for scripted policies and endpoints."""
    in_flight: int = Field(64, ge=1)
    """Episodes running at once, over all workers."""
    turn_timeout_s: float = Field(120.0, gt=0)
    """Longest wait for one answer of the policy, in seconds; a retry waits as long again."""
    episode_timeout_s: float = Field(600.0, gt=0)
    """Longest time an episode may take, from reset to its last reply, in seconds."""
    reasoning: Literal["drop", "keep", "answer"] = "drop"
    """Thoughts that an endpoint sends with a reply, beside it or in `<think>` tags, are never its action.
    `keep` stores them with the turn; `answer` uses them as the reply where it has nothing else."""
    tool_calls: Literal["fail", "text"] = "fail"
    """Whether a tool call that an endpoint sends instead of text fails the attempt, or is used as JSON."""
    max_retries: int = Field(2, ge=0)
    """How often an attempt is repeated after an infrastructure failure."""
    engine: EngineConfig = EngineConfig()
    """The engine, when the policy is a model."""
    num_engines: int = Field(1, ge=1)
    """Engines that share the load, when the policy is a model."""
    chaos: dict[str, float] = {}
    """Faults to inject, to see a run survive them: `kill-actor` by its chance per episode; `kill-engine`,
    `http-429`, `http-500`, `timeout`, `garbage` and `truncated` by their chance per model call."""
    env: EnvSettings = {}
    """Settings per environment id."""

    @model_validator(mode="before")
    @classmethod
    def _tasks_have_one_origin(cls, values: Any) -> Any:
        """Tasks come from environments or from a file."""
        if not isinstance(values, dict):
            return values
        if values.get("tasks") is None:
            if values.get("envs") == []:
                raise ValueError("`envs` is empty: give --env NAME, or --tasks FILE")
            return values
        both = [name for name in ("envs", "split", "num_tasks", "first_task") if values.get(name)]
        if both:
            raise ValueError(f"the tasks come from a file, so `{'`, `'.join(both)}` cannot be given too")
        return {"envs": [], **values}


class RolloutConfig(EpisodeSettings):
    """Which attempts to make, by which policy, and where the trajectories go."""

    out: Path
    """Run directory: Parquet shards, journal and manifest. The same command resumes it."""
    split: Split = "train"
    """Which task split to run."""
    num_tasks: int = Field(200, ge=1)
    """Tasks per environment."""
    first_task: int = Field(0, ge=0)
    """Tasks of the split to skip."""
    samples: int = Field(1, ge=1)
    """Attempts per task."""
    temperatures: list[Annotated[float, Field(ge=0, le=2)]] = []
    """Temperatures of a task's attempts in turn, starting over when there are more attempts; empty takes
    `sampling.temperature`."""
    retry_failed: bool = False
    """Whether to repeat attempts that an earlier start recorded as failed."""


class TasksConfig(Settings):
    """Which tasks to write to a file."""

    envs: list[str] = Field(min_length=1)
    """Environment ids."""
    out: Path
    """File to write: JSON lines, a task each."""
    split: Split
    """Which task split to take."""
    num_tasks: int = Field(100, ge=1)
    """Maximum number of tasks per environment."""
    first_task: int = Field(0, ge=0)
    """Tasks of the split to skip."""
    env: EnvSettings = {}
    """Settings per environment id."""


class EvaluateConfig(EpisodeSettings):
    """Score a policy on tasks it has not trained on."""

    split: Split = "test"
    """Which task split to score on."""
    num_tasks: int = Field(100, ge=1)
    """Tasks per environment."""
    out: Path | None = None
    """Run directory for the trajectories; None keeps them in a temporary one."""


class ServeConfig(Settings):
    """An OpenAI-compatible endpoint for one model."""

    model: str
    """Model directory or id."""
    name: str | None = None
    """Name clients ask for; None uses the directory's or model's own."""
    host: str = "127.0.0.1"
    """Address to bind; loopback unless told otherwise."""
    port: int = Field(8000, ge=1, le=65535)
    """TCP port."""
    num_replicas: int = Field(1, ge=1)
    """Engines behind the endpoint."""
    engine: EngineConfig = EngineConfig()
    """The engine."""


class PairConfig(Settings):
    """A further evaluation of two models on the same tasks; shown only if both are present."""

    label: str
    """Its heading in the report."""
    before: Path | None = None
    """Evaluation run of the first model."""
    after: Path | None = None
    """Evaluation run of the second."""


class ReportConfig(Settings):
    """One page about one run, or several on the same tasks, and the stages between them."""

    runs: list[Path] = Field(min_length=1)
    """Evaluations or rollouts; the first is the base that the others are compared with. One that holds only
    `suite.json` adds its general results."""
    out: Path
    """Directory for `report.json` and `report.html`."""
    train: Path | None = None
    """Training run: loss curves and general ability."""
    tune: Path | None = None
    """Sweep: its table, and the chart of a single number that varies."""
    suite: list[Path] = []
    """Further directories with the `suite.json` of general benchmarks."""
    filter: Path | None = None
    """Filter output: how many trajectories were kept, and why others were not."""
    mix: Path | None = None
    """Mix output: η and the realised ratios."""
    pairs: list[PairConfig] = []
    """Further evaluations before and after, e.g. on a benchmark's own records."""
    recipe: Path | None = None
    """Directory of the recipe that the stages belong to: their times, its settings and peak memory."""
    tokenizer: Path | None = None
    """Model directory whose tokenizer shows where tokens begin; None takes each run's own model, if it is a
    directory that is still there."""
    trajectories: int = Field(10_000, ge=1)
    """Maximum number of attempts on the page; of a larger run, those at a sample of its tasks."""
