"""Settings of training and of sweeps over its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from agentray.config.stages import EnvSettings, EvaluateConfig, Settings


class OptimizerConfig(Settings):
    """AdamW with a cosine schedule."""

    learning_rate: float = Field(5e-5, gt=0)
    """Peak rate; the paper uses 5e-5 for 7B and 13B."""
    min_learning_rate_ratio: float = Field(0.1, ge=0, le=1)
    """Rate at the end of the schedule, as a share of the peak."""
    warmup_ratio: float = Field(0.02, ge=0, lt=1)
    """Share of the schedule's steps spent warming up linearly."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay, on matrices only."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Adam's moment decay rates."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradient clipping."""


class TrainConfig(Settings):
    """Supervised fine-tuning on a mixture."""

    renamed: ClassVar[Mapping[str, str]] = {
        "distillation": "method.share",
        "distillation_temperature": "method.temperature",
        "frozen_layers": "method.frozen_layers",
        "interpolation": "method.interpolation",
    }

    data: Path
    """Output directory of `agentray mix`."""
    model: str
    """Model to start from: an id or a directory."""
    out: Path
    """Run directory: metrics, checkpoints and, at the end, `model/`."""
    eta: float | None = Field(None, ge=0, le=1)
    """Overrides the mixture's η without tokenizing again; None keeps it."""
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field({})
    """Overrides the mixture's weights of sources, by name, likewise."""
    method: dict[str, Any] = Field({"name": "full"})
    """What is learnt from a row: the name of a training method and its own settings, e.g. `{name = "distill",
    temperature = 0.5}`; the name alone takes its defaults."""
    num_steps: int = Field(100, ge=1)
    """Optimizer steps. With a fixed `schedule_steps` a finished run goes on when this grows."""
    schedule_steps: int | None = Field(None, ge=1)
    """Steps over which the learning rate rises and falls; None takes `num_steps`. A run that ends before its
    schedule keeps a checkpoint of its last step, to go on from."""
    batch_size: int = Field(16, ge=1)
    """Samples per optimizer step, over all workers."""
    row_tokens: int = Field(2048, ge=64)
    """Tokens packed into one row; rows of a step are accumulated."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimizer and schedule."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    """DeepSpeed ZeRO stage: what is sharded over workers (1 optimizer, 2 gradients, 3 weights)."""
    num_workers: int = Field(1, ge=1)
    """Training processes."""
    gpus_per_worker: float = Field(0, ge=0)
    """0 trains on CPU."""
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    """Type of the forward and backward pass; the master weights are float32 either way."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    validate_every: int | None = Field(None, ge=1)
    """Steps between measurements of the validation loss; None measures before the first step and after the
    last."""
    checkpoint_every: int | None = Field(None, ge=1)
    """Steps between checkpoints; None writes none before the end."""
    max_failures: int = Field(1, ge=0)
    """Times Ray Train restarts the workers from the last checkpoint."""
    seed: int = 0
    """Seed of everything random in training except the sample stream."""

    @field_validator("method", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        return {"name": "full", **value} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _every_worker_has_a_sample(self) -> TrainConfig:
        if self.batch_size < self.num_workers:
            raise ValueError(f"batch_size {self.batch_size} leaves some of {self.num_workers} workers idle")
        return self


class Distribution(Settings):
    """Values that a sweep tries for one setting: exactly one of these."""

    grid: list[Any] | None = Field(None, min_length=1)
    """Every value, in combination with those of every other grid."""
    choice: list[Any] | None = Field(None, min_length=1)
    """One of the values, drawn at random."""
    uniform: tuple[float, float] | None = None
    """Any number between two."""
    loguniform: tuple[float, float] | None = None
    """Any number between two positive ones, with every order of magnitude equally likely."""

    @model_validator(mode="after")
    def _one_kind(self) -> Distribution:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of grid, choice, uniform and loguniform, not {len(given)}")
        low, high = self.uniform or self.loguniform or (1.0, 2.0)
        if low >= high or (self.loguniform and low <= 0):
            raise ValueError("give a lower and a higher number, for loguniform both above 0")
        return self


class TuneConfig(Settings):
    """A sweep over training settings: one training and one evaluation per trial, on one tokenized corpus."""

    train: TrainConfig
    """Settings shared by all trials; those of `space` and `out` are set per trial."""
    evaluate: EvaluateConfig
    """How each trial's model is scored; `policy` and `out` are set per trial."""
    out: Path
    """Sweep directory: a sub-directory per trial, `table.json`, `table.txt`, `plot.svg` and the manifest."""
    space: dict[str, Distribution] = Field({"train.eta": Distribution(grid=[0.0, 0.2, 0.5, 1.0])})
    """Values to try by setting, e.g. `"train.optimizer.learning_rate" = {loguniform = [1e-5, 1e-3]}`."""
    etas: list[Annotated[float, Field(ge=0, le=1)]] = Field([])
    """Values of η: short for a grid over `train.eta` in `space`."""
    num_trials: int = Field(1, ge=1)
    """Draws from the distributions of `space`; every draw is combined with the whole grid."""
    search: Literal["random", "optuna", "hyperopt"] = "random"
    """How values are chosen: all grids and independent draws, or by a library that learns from the trials so
    far and must be installed."""
    scheduler: Literal["none", "asha", "median"] = "none"
    """Which trials are stopped early, by their agent score after `first_score_steps` and its multiples:
    the worst of those that came as far (`asha`), or those below the median (`median`)."""
    first_score_steps: int | None = Field(None, ge=1)
    """Steps after which a trial is scored for the first time, then after `score_factor` times as many and so
    on up to `train.num_steps`; None scores it at the end alone."""
    score_factor: int = Field(3, ge=2)
    """Factor by which the steps between scores grow; `asha` lets one of that many trials go on."""
    max_concurrent: int = Field(1, ge=1)
    """Trials that run at once, as far as the cluster has room for their workers and engines."""
    max_general_loss: float = Field(0.03, ge=0)
    """Largest acceptable relative increase of the general validation loss in the recommended trial."""
    seed: int = 0
    """Seed of the draws: the same command makes the same trials."""
    env: EnvSettings = Field({})
    """Settings per environment id, with which trials are scored."""

    @model_validator(mode="before")
    @classmethod
    def _trials_follow(cls, values: Any) -> Any:
        """Directories follow from `out`, settings of environments from `env`, and a grid from `etas`."""
        if isinstance(values, dict):
            etas, space = values.get("etas"), values.get("space", {})
            if etas and isinstance(etas, list | tuple) and isinstance(space, Mapping):
                values["space"] = {**dict(_leaves("", space)), "train.eta": {"grid": sorted(set(etas))}}
            out = {"out": values["out"]} if "out" in values else {}
            env = {"env": values["env"]} if "env" in values else {}
            for stage, shared in (("train", out), ("evaluate", out | env)):
                inner = values.get(stage, {})
                if shared and isinstance(inner, dict):
                    values[stage] = {**shared, **inner}
        return values

    @field_validator("space", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Nested tables as dotted names, so that `"train.eta"` need not be quoted."""
        return dict(_leaves("", value)) if isinstance(value, Mapping) else value


_KINDS = set(Distribution.model_fields)


def _leaves(prefix: str, table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Dotted name and content of every distribution in nested tables."""
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping) and value and not _KINDS & set(value):
            found += _leaves(name, value)
        else:
            found.append((name, value))
    return found
