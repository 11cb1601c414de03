"""Settings of the general benchmarks: the table `[evaluate]` when `--suite` is given."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from agentray.config.stages import EngineConfig, Settings


class JudgeConfig(Settings):
    """The model that rates MT-Bench answers."""

    url: str | None = None
    """An OpenAI-compatible endpoint, `http(s)://…/v1`, asked with `AGENTRAY_API_KEY`; without one MT-Bench is
    skipped."""
    model: str | None = None
    """Model to ask it for; None takes the first it lists."""
    max_attempts: int = Field(3, ge=1)
    """How often it is asked for one rating that can be read; after that the answer counts as unjudged."""
    max_tokens: int = Field(1024, ge=16)
    """Longest judgement, in tokens."""
    in_flight: int = Field(16, ge=1)
    """Judgements asked for at once."""


class SuiteEngineConfig(EngineConfig):
    """A vLLM engine with room for eight worked examples and a long answer."""

    max_model_len: int = Field(4096, ge=128)
    """Longest conversation the engine accepts, prompt and reply, in tokens."""


class SuiteConfig(Settings):
    """Score a model on general benchmarks (`--suite`)."""

    policy: str
    """A model id, a model directory, or an `http(s)://…/v1` endpoint."""
    suite: str = "general"
    """`general`, or benchmarks and tasks of lm-eval with commas between them."""
    tasks: list[str] = Field([])
    """Benchmarks of `general`; empty takes all."""
    data: Path | None = None
    """Directory with a folder for each benchmark; None leaves lm-eval's tasks to the hub."""
    num_tasks: int | None = Field(None, ge=1)
    """Most questions per benchmark, spread over the tasks of a group; None takes all."""
    out: Path | None = None
    """Run directory for answers and `suite.json`; None keeps nothing. The same command resumes it."""
    model: str | None = None
    """Model name to ask an endpoint for; None takes the first it lists."""
    tokenizer: str | None = None
    """Directory or id of an endpoint's tokenizer, for log-likelihoods; None asks the endpoint for it."""
    judge: JudgeConfig = JudgeConfig()
    """Who rates MT-Bench."""
    samples: int = Field(1, ge=1)
    """Answers per HumanEval problem; more than one are drawn at `temperature`, and give pass@k."""
    temperature: float = Field(0.2, gt=0)
    """Temperature of HumanEval's answers where there are several of a problem."""
    max_tokens: int | None = Field(None, ge=1)
    """Longest reply, in tokens; None takes each benchmark's own, at most half of `engine.max_model_len`."""
    seed: int = 0
    """Seed of sampling, and of what is asked in `instructions`."""
    num_workers: int | None = Field(None, ge=0)
    """Rollout actors; None takes one per CPU of this machine, at most four, and none for an endpoint."""
    num_engines: int = Field(1, ge=1)
    """Engines that share the load, when the policy is a model."""
    in_flight: int = Field(64, ge=1)
    """Questions asked at once."""
    turn_timeout_s: float = Field(300.0, gt=0)
    """Longest wait for one answer."""
    max_retries: int = Field(2, ge=0)
    """How often a question is asked again after an infrastructure failure."""
    engine: SuiteEngineConfig = SuiteEngineConfig()
    """The engine, when the policy is a model; here `max_model_len` is 4096 by default. Its `dtype` and
    `num_gpus` also hold for log-likelihoods."""
