"""Settings of the general benchmarks: the table `[evaluate]` when `--suite` is given."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from agentray.config.stages import EngineConfig, Settings


class SuiteDataConfig(Settings):
    """Where the benchmarks' own files are; what is not given is stood in for by generated questions."""

    mmlu: Path | None = None
    """Directory with `dev.jsonl` and `test.jsonl`, or with `dev/*.csv` and `test/*.csv` as published."""
    gsm8k: Path | None = None
    """Directory with `train*.jsonl`, whose first eight records are the shots, and `test*.jsonl`."""
    humaneval: Path | None = None
    """Directory with `*.jsonl` or `*.jsonl.gz`."""
    mtbench: Path | None = None
    """Directory with `question*.jsonl` and, for reference answers, `reference*.jsonl`."""
    loss: Path | None = None
    """Directory with conversations in `*.json` or `*.jsonl`: ShareGPT or OpenAI messages."""


class JudgeConfig(Settings):
    """The model that rates MT-Bench answers."""

    url: str | None = None
    """An OpenAI-compatible endpoint, `http(s)://…/v1`, asked with `AGENTRAY_API_KEY`; without one MT-Bench is
    left out."""
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
    """Score a model on general benchmarks (`--suite general`)."""

    policy: str
    """A model id, a model directory, or an `http(s)://…/v1` endpoint."""
    suite: str = "general"
    """Which set of benchmarks."""
    tasks: list[str] = Field([])
    """Benchmarks of the suite; empty takes all."""
    num_tasks: int | None = Field(None, ge=1)
    """Most questions per benchmark; None takes all."""
    out: Path | None = None
    """Run directory for answers and `suite.json`; None keeps nothing. The same command resumes it."""
    model: str | None = None
    """Model name to ask an endpoint for; None takes the first it lists."""
    tokenizer: str | None = None
    """Directory or id of an endpoint's tokenizer, for log-likelihoods; None asks the endpoint for it."""
    data: SuiteDataConfig = SuiteDataConfig()
    """The benchmarks' files."""
    judge: JudgeConfig = JudgeConfig()
    """Who rates MT-Bench."""
    samples: int = Field(1, ge=1)
    """Answers per HumanEval problem; more than one are drawn at `temperature`, and give pass@k."""
    temperature: float = Field(0.2, gt=0)
    """Temperature of HumanEval's answers where there are several of a problem."""
    max_tokens: int | None = Field(None, ge=1)
    """Longest reply, in tokens; None takes each benchmark's own, at most half of `engine.max_model_len`."""
    seed: int = 0
    """Seed of the generated questions and of sampling."""
    num_workers: int | None = Field(None, ge=0)
    """Rollout actors; None takes one per CPU of this machine, at most four, and none for an endpoint."""
    num_engines: int = Field(1, ge=1)
    """Engines that share the load, when the policy is a model."""
    in_flight: int = Field(64, ge=1)
    """Questions asked at once."""
    turn_timeout_s: float = Field(300.0, gt=0)
    """Longest wait for one answer."""
    max_retries: int = Field(2, ge=0)
    """How often a question that the machinery failed is asked again."""
    engine: SuiteEngineConfig = SuiteEngineConfig()
    """The engine, when the policy is a model; here `max_model_len` is 4096 by default. Its `dtype` and
    `num_gpus` also hold for log-likelihoods."""
