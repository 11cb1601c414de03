"""Who is asked, and how: from the settings to rollouts of the model and the judge, and to log-likelihoods."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from agentray import manifest
from agentray.config import EngineConfig, JudgeConfig, RolloutConfig, SamplingConfig, SuiteConfig
from agentray.errors import PolicyError, UsageError
from agentray.models import resolve_model
from agentray.policy.address import is_endpoint
from agentray.policy.resolve import served_name
from agentray.stage import PLAN
from agentray.suites.asking import ask
from agentray.suites.benchmark import Ask, Question
from agentray.suites.likelihood import Source


def of_model(config: SuiteConfig, directory: Path, max_tokens: int, samples: int = 1) -> RolloutConfig:
    """The rollout that asks the model questions; the answers go to `directory`.

    Args:
        config: Who is asked.
        directory: Where the answers go.
        max_tokens: Longest reply that is wanted; half of the context belongs to the question.
        samples: Replies to each question.
    """
    endpoint = is_endpoint(config.policy)
    return RolloutConfig(
        envs=["prompts"],
        policy=config.policy,
        model=config.model,
        sampling=SamplingConfig(
            max_tokens=config.max_tokens or min(max_tokens, config.engine.max_model_len // 2)
        ),
        seed=config.seed,
        samples=samples,
        num_workers=0 if endpoint and config.num_workers is None else config.num_workers,
        num_engines=config.num_engines,
        in_flight=config.in_flight,
        turn_timeout_s=config.turn_timeout_s,
        episode_timeout_s=4 * config.turn_timeout_s,
        max_retries=config.max_retries,
        engine=EngineConfig(**config.engine.model_dump()),
        out=directory,
    )


def of_text(config: SuiteConfig) -> Source:
    """Where the log-likelihoods of given text come from.

    Raises:
        UsageError: There is no such model.
        PolicyError: The endpoint does not answer.
    """
    if not is_endpoint(config.policy):
        engine = config.engine
        return Source(resolve_model(config.policy), dtype=engine.dtype, num_gpus=engine.num_gpus)
    url = config.policy.split(",")[0].strip()
    return Source(
        model=served_name(url, config.model),
        base_url=url,
        tokenizer=config.tokenizer,
        concurrent=config.in_flight,
    )


def judge(config: SuiteConfig, directory: Path) -> Ask | None:
    """Asks the judge by rollouts of its own, kept below `directory`; None where no judge is given."""
    settings, url = config.judge, config.judge.url
    if url is None:
        return None

    def ask_judge(name: str, questions: Sequence[Question]) -> dict[str, str]:
        how = RolloutConfig(
            envs=["prompts"],
            policy=url,
            model=settings.model,
            sampling=SamplingConfig(max_tokens=settings.max_tokens),
            seed=config.seed,
            num_workers=0,
            in_flight=settings.in_flight,
            turn_timeout_s=config.turn_timeout_s,
            out=directory / name,
        )
        answers, _ = ask(questions, how)
        return {each.question.id: each.first for each in answers if each.first}

    return ask_judge


def check_judge(config: JudgeConfig) -> None:
    """Ask a judge for its models, so that one that cannot answer ends a run before it costs anything.

    Raises:
        PolicyError: It does not answer, or does not serve the model.
    """
    try:
        served_name(config.url or "", config.model)
    except (PolicyError, UsageError) as error:
        fix = error.fix.replace("--policy ", "--set evaluate.judge.url=")
        fix = fix.replace("--model ", "--set evaluate.judge.model=")
        raise type(error)(f"the judge: {error.what}", error.why, fix) from error


def named(config: SuiteConfig, out: Path) -> SuiteConfig:
    """The settings with an endpoint's model by name: the one given, that of the answers so far, or the first.

    Raises:
        UsageError: The address or the key is malformed.
        PolicyError: The endpoint does not answer, or serves another model than that of the answers so far.
    """
    if config.model or not is_endpoint(config.policy):
        return config
    url = config.policy.split(",")[0].strip()
    plan = out / PLAN
    before = json.loads(plan.read_text(encoding="utf-8"))["policy"] if plan.exists() else None
    begun = None if before is None or is_endpoint(before) else before
    complete = manifest.is_complete(out)
    model = begun if begun and complete else served_name(url, begun, must_list=begun is not None)
    return config.model_copy(update={"model": model})
