"""The engine goes on from the ids it sampled, and comes back after its process dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import ray
from fakes import byte_tokenizer

from agentray.chat import Template, prompt_of, views
from agentray.chat.turns import encode
from agentray.cluster import cause
from agentray.config import EngineConfig
from agentray.errors import AgentrayError, PolicyError, ResourceError, UnavailableError
from agentray.models import resolve_model
from agentray.serving.engine import VllmEngine
from agentray.types import Message, Reply, Sampling

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of what vLLM imports
]

CONFIG = EngineConfig(max_model_len=512, max_num_seqs=8, kv_cache_gib=0.25, start_timeout_s=240)
HELLO = [Message("user", "Hello.")]
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


@dataclass
class Output:
    """The part of `vllm.CompletionOutput` that the engine reads."""

    text: str
    token_ids: list[int]
    logprobs: list[Mapping[int, Any]]
    finish_reason: str | None


@dataclass
class Result:
    """The part of `vllm.RequestOutput` that the engine reads."""

    outputs: list[Output]


class FakeAsyncLLM:
    """Answers as vLLM's engine would; dies, or fails, when told to."""

    def __init__(self, finish_reason: str = "stop") -> None:
        self.finish_reason = finish_reason
        self.errored = False
        self.failure: Exception | None = None
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.num_shutdowns = 0

    def die(self) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        self.errored, self.failure = True, EngineDeadError()

    def get_tokenizer(self) -> Any:
        return byte_tokenizer()

    async def generate(self, prompt: Any, parameters: Any, request: str) -> AsyncIterator[Result]:
        await asyncio.sleep(0)  # as a request that is sent to another process
        await self.goes_on.wait()
        if self.failure is not None:
            raise self.failure
        yield Result([Output("", [], [], self.finish_reason)])

    def shutdown(self, timeout: float) -> None:
        self.num_shutdowns += 1
        if self.errored:
            raise OSError("its sockets are gone already")


class Loading(VllmEngine):
    """Loads the given engines, one after the other."""

    def __init__(self, *loads: FakeAsyncLLM | AgentrayError, start_timeout_s: float = 20) -> None:
        config = CONFIG.model_copy(update={"start_timeout_s": start_timeout_s})
        super().__init__("smollm2-135m", config.model_dump())
        self.left = list(loads)

    def _load(self) -> Any:
        each = self.left.pop(0)
        if isinstance(each, AgentrayError):
            raise each
        return each


async def ask_many(engine: VllmEngine, count: int) -> list[Reply | BaseException]:
    calls = [engine.act(HELLO, Sampling(), {}) for _ in range(count)]
    return await asyncio.gather(*calls, return_exceptions=True)


def test_all_who_meet_a_dead_engine_ask_again_and_one_load_answers_them() -> None:
    async def scenario() -> None:
        first, second, third = FakeAsyncLLM(), FakeAsyncLLM(), FakeAsyncLLM()
        engine = Loading(first, second, third)
        await engine.ready()
        first.die()
        assert {type(each) for each in await ask_many(engine, 8)} == {UnavailableError}
        assert {type(each) for each in await ask_many(engine, 8)} == {Reply}
        assert engine.left == [third]
        assert first.num_shutdowns == 1
        await engine.close()
        assert (first.num_shutdowns, second.num_shutdowns) == (1, 1)

    asyncio.run(scenario())


def test_a_request_that_dies_late_does_not_drop_the_engine_that_came_after() -> None:
    async def scenario() -> None:
        first, second, third = FakeAsyncLLM(), FakeAsyncLLM(), FakeAsyncLLM()
        engine = Loading(first, second, third)
        await engine.ready()
        first.goes_on.clear()
        late = asyncio.create_task(engine.act(HELLO, Sampling(), {}))
        await asyncio.sleep(0)
        first.die()
        engine._forget(first)  # as another request that died with it does
        await engine.ready()
        first.goes_on.set()
        with pytest.raises(UnavailableError):
            await late
        assert (await engine.act(HELLO, Sampling(), {})).finish_reason == "stop"
        assert engine.left == [third]

    asyncio.run(scenario())


def test_a_failed_load_fails_all_who_wait_and_the_next_tries_again() -> None:
    async def scenario() -> None:
        engine = Loading(ResourceError("no memory", "it is full", "free some"), FakeAsyncLLM())
        assert {type(each) for each in await ask_many(engine, 3)} == {ResourceError}
        assert {type(each) for each in await ask_many(engine, 3)} == {Reply}

    asyncio.run(scenario())


def test_an_abort_and_a_failed_request_are_unavailable_but_keep_the_engine() -> None:
    from vllm.v1.engine.exceptions import EngineGenerateError

    async def scenario() -> None:
        fake = FakeAsyncLLM(finish_reason="abort")
        engine = Loading(fake)
        with pytest.raises(UnavailableError, match="'abort'"):
            await engine.act(HELLO, Sampling(), {})
        fake.failure = EngineGenerateError("once")
        with pytest.raises(UnavailableError, match="failed a request"):
            await engine.act(HELLO, Sampling(), {})
        fake.finish_reason, fake.failure = "length", None
        assert (await engine.act(HELLO, Sampling(), {})).finish_reason == "length"

    asyncio.run(scenario())


def test_a_closed_engine_does_not_load_again() -> None:
    async def scenario() -> None:
        fake = FakeAsyncLLM()
        engine = Loading(fake, FakeAsyncLLM())
        await engine.ready()
        await engine.close()
        with pytest.raises(PolicyError, match="closed"):
            await engine.act(HELLO, Sampling(), {})
        assert (fake.num_shutdowns, len(engine.left)) == (1, 1)

    asyncio.run(scenario())


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(resolve_model("smollm2-135m"))


@pytest.fixture(scope="module")
def actor() -> Iterator[Any]:
    """A real engine, as the rollout pool runs it."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    handle = (
        ray.remote(VllmEngine)
        .options(num_cpus=1, max_concurrency=12)
        .remote(resolve_model("smollm2-135m"), CONFIG.model_dump())
    )
    ray.get(handle.ready.remote(), timeout=CONFIG.start_timeout_s)
    yield handle
    ray.get(handle.close.remote(), timeout=30)
    ray.kill(handle)
    ray.shutdown()


def act(actor: Any, messages: list[Message], **sampling: Any) -> Reply:
    reply: Reply = ray.get(
        actor.act.remote(messages, Sampling(**sampling), {}), timeout=CONFIG.start_timeout_s
    )
    return reply


def test_a_conversation_without_sampled_ids_is_tokenized_as_its_template_does(tokenizer: Any) -> None:
    replies = [Message("user", QUESTION), Message("assistant", f"\n{ANSWER} "), Message("user", "é\n\n😀 ok")]
    for messages in (replies[:1], replies, [Message("system", "Be brief."), *replies]):
        plain = [{"role": each.role, "content": each.content} for each in messages]
        whole = tokenizer.apply_chat_template(
            plain, add_generation_prompt=True, tokenize=True, return_dict=True
        )
        prompt = prompt_of(messages, Template(tokenizer))
        assert list(prompt.ids) == whole["input_ids"]
        assert prompt.prefix_kept is None


@pytest.mark.ray
def test_an_episode_goes_on_from_its_ids_and_training_sees_the_same(actor: Any, tokenizer: Any) -> None:
    """Hot and short replies: cut off, and not all of them as the tokenizer would write their text."""
    template = Template(tokenizer)
    messages = [Message("user", QUESTION)]
    shown: tuple[int, ...] = ()
    rewritten = 0
    for turn in range(5):
        prompt = prompt_of(messages, template)
        assert prompt.ids[: len(shown)] == shown
        reply = act(actor, messages, temperature=2.0, seed=turn, max_tokens=24)
        assert reply.prefix_kept is (None if turn == 0 else True)
        assert reply.usage is not None and reply.usage.prompt_tokens == len(prompt.ids)
        assert reply.token_ids
        rewritten += tuple(tokenizer.encode(reply.text, add_special_tokens=False)) != reply.token_ids
        shown = (*prompt.ids, *reply.token_ids)
        messages += [
            Message("assistant", reply.text, loss=True, token_ids=reply.token_ids),
            Message("user", QUESTION),
        ]
    assert rewritten
    (view,) = views(messages, template)
    trained, _ = encode(view, template)
    assert tuple(trained) == shown


@pytest.mark.ray
@pytest.mark.parametrize("num_in_flight", [0, 3])
def test_the_engine_comes_back_after_its_process_is_killed(actor: Any, num_in_flight: int) -> None:
    def children(_: VllmEngine) -> list[int]:
        import multiprocessing

        return [child.pid or 0 for child in multiprocessing.active_children()]

    assert act(actor, [Message("user", QUESTION)]).text == ANSWER
    (core,) = ray.get(actor.__ray_call__.remote(children), timeout=30)
    story = Sampling(temperature=1.0, max_tokens=400)
    calls = [actor.act.remote([Message("user", "Tell a story.")], story, {}) for _ in range(num_in_flight)]
    ray.get(actor.__ray_call__.remote(children), timeout=30)  # the calls have begun
    os.kill(core, signal.SIGKILL)
    for call in calls or [actor.act.remote(HELLO, Sampling(), {})]:
        with pytest.raises(AgentrayError) as caught:
            ray.get(call, timeout=60)
        assert isinstance(cause(caught.value), UnavailableError)
    calls = [actor.act.remote([Message("user", QUESTION)], Sampling(), {}) for _ in range(4)]
    assert {reply.text for reply in ray.get(calls, timeout=CONFIG.start_timeout_s)} == {ANSWER}
    assert len(ray.get(actor.__ray_call__.remote(children), timeout=30)) == 1
