"""A real SmolLM2 engine answers, alone in a Ray actor and behind the endpoint; both stop without a trace."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import ray
from ports import free_port

from agentray.cluster import cause
from agentray.config import EngineConfig, ServeConfig
from agentray.errors import ContextLimitError, PolicyError, ResourceError, UsageError
from agentray.models import CARD, fetch
from agentray.serving.app import KEY_VARIABLE, ApiKey, _digest, served_name
from agentray.serving.engine import VllmEngine
from agentray.serving.run import preflight, serving
from agentray.types import Message, Sampling

pytestmark = [
    pytest.mark.ray,
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray Serve's own pydantic models
]

KEY = "test-key"
ORIGIN = {"base_model": "smollm2-135m", "checkpoint": "step-200", "eta": 0.2, "dataset": "0123456789abcdef"}
ENGINE = EngineConfig(max_model_len=512, max_num_seqs=32, kv_cache_gib=0.5, start_timeout_s=240)
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two CPUs, as on the smallest machine we promise to work on."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def engine(cluster: None) -> Iterator[Any]:
    """The engine as the rollout pool runs it."""
    actor = ray.remote(VllmEngine).options(num_cpus=1, max_concurrency=40)
    handle = actor.remote(str(fetch("smollm2-135m")), ENGINE.model_dump())
    ray.get(handle.ready.remote(), timeout=ENGINE.start_timeout_s)
    yield handle
    ray.get(handle.close.remote(), timeout=30)
    ray.kill(handle)


@pytest.fixture(scope="module")
def url(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint, with a key and a model that says where it comes from."""
    model = tmp_path_factory.mktemp("run") / "model"
    shutil.copytree(fetch("smollm2-135m"), model, copy_function=shutil.copyfile)
    (model / CARD).write_text(json.dumps(ORIGIN))
    config = ServeConfig(model=str(model), name="agent", port=free_port(), engine=ENGINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        with serving(config) as address:
            yield address
    with socket.socket() as probe:  # the port is free again
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((config.host, config.port))


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key=KEY, timeout=60, max_retries=0) as each:
        yield each


def ask(engine: Any, text: str, **sampling: Any) -> Any:
    return ray.get(engine.act.remote([Message("user", text)], Sampling(**sampling), {}), timeout=60)


def test_the_engine_answers_with_the_ids_it_sampled(engine: Any) -> None:
    reply = ask(engine, QUESTION)
    assert reply.text == ANSWER
    assert reply.finish_reason == "stop"
    assert reply.token_ids[-1] == 2  # <|im_end|>
    assert reply.usage.completion_tokens == len(reply.token_ids) == len(reply.logprobs)
    assert all(value <= 0 for value in reply.logprobs)
    assert reply.latency_s > 0


def test_the_engine_stops_at_max_tokens_and_repeats_a_seed(engine: Any) -> None:
    first, second = (ask(engine, "Tell a story.", temperature=1.0, seed=5, max_tokens=8) for _ in range(2))
    assert first.finish_reason == "length"
    assert len(first.token_ids) == 8
    assert first.token_ids == second.token_ids


def test_the_engine_answers_many_at_once_as_it_does_alone(engine: Any) -> None:
    calls = [engine.act.remote([Message("user", QUESTION)], Sampling(max_tokens=16), {}) for _ in range(16)]
    assert {reply.text for reply in ray.get(calls, timeout=120)} == {ANSWER}


def test_long_seeded_prompts_at_once_do_not_end_the_engine(engine: Any) -> None:
    """More prompt tokens than one step takes: vLLM would split a prompt, and its CPU worker dies of that."""
    sampling = Sampling(temperature=1.0, seed=1, max_tokens=4)
    calls = [engine.act.remote([Message("user", f"{i} " + "word " * 400)], sampling, {}) for i in range(12)]
    assert all(reply.token_ids for reply in ray.get(calls, timeout=120))


def test_a_conversation_that_does_not_fit_is_a_context_limit(engine: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        ask(engine, "word " * 600)
    error = cause(caught.value)
    assert isinstance(error, ContextLimitError)


def test_a_chat_completion_is_answered(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": QUESTION}]
    done = client.chat.completions.create(model="agent", messages=messages, temperature=0, max_tokens=32)
    assert done.choices[0].message.content == ANSWER
    assert done.choices[0].finish_reason == "stop"


def test_a_stream_brings_the_same_answer_in_pieces(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": QUESTION}]
    stream = client.chat.completions.create(
        model="agent", messages=messages, temperature=0, max_tokens=32, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert "".join(pieces) == ANSWER
    assert len([piece for piece in pieces if piece]) > 1


def test_models_names_checkpoint_eta_and_dataset(client: openai.OpenAI) -> None:
    (card,) = client.models.list().data
    metadata: Any = card.model_dump()["metadata"]
    assert card.id == "agent"
    assert {key: metadata[key] for key in ORIGIN} == ORIGIN


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", f"Basic {KEY}", KEY])
@pytest.mark.parametrize("path", ["/models", "/models/agent", "/chat/completions", "/completions"])
def test_without_the_key_every_route_answers_401(url: str, path: str, header: str | None) -> None:
    body = {"model": "agent", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    request = urllib.request.Request(url + path, data=None if "models" in path else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if header is not None:
        request.add_header("Authorization", header)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    with caught.value as answer:
        assert answer.code == 401
        assert json.loads(answer.read())["error"]["code"] == "invalid_api_key"


def test_the_script_of_a_web_page_may_not_read_the_answers(url: str) -> None:
    headers = {"Origin": "http://evil.example", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{url}/models", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert "access-control-allow-origin" not in {name.lower() for name in answer.headers}


def test_an_unknown_model_is_404(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "hi"}]
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=messages)


def test_serve_that_runs_already_is_named(url: str) -> None:
    config = ServeConfig(model="smollm2-135m", port=free_port(), engine=ENGINE)
    with pytest.raises(ResourceError, match="already runs"), serving(config):
        pass


def test_the_key_layer_passes_what_is_right_and_what_is_not_http() -> None:
    passed: list[str] = []

    async def inner(scope: dict[str, Any], receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    layer = ApiKey(inner, _digest(KEY.encode()))
    right = [(b"Authorization", f"bearer {KEY}".encode())]
    asyncio.run(layer({"type": "http", "headers": right}, None, None))
    asyncio.run(layer({"type": "lifespan"}, None, None))
    assert passed == ["http", "lifespan"]


def test_a_port_in_use_names_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ResourceError, match=f"port {port}") as caught:
            preflight(ServeConfig(model="smollm2-135m", port=port))
    assert caught.value.fix.startswith("take a free one: --port ")


def test_an_incomplete_model_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="incomplete"):
        preflight(ServeConfig(model=str(tmp_path), port=free_port()))


def test_too_little_memory_is_refused_before_anything_starts() -> None:
    huge = EngineConfig(kv_cache_gib=100_000)
    with pytest.raises(ResourceError, match="not enough memory"):
        preflight(ServeConfig(model="smollm2-135m", port=free_port(), engine=huge))


def test_a_model_is_called_by_its_name_or_its_run(tmp_path: Path) -> None:
    (tmp_path / "eta-02" / "model").mkdir(parents=True)
    names = {
        "smollm2-135m": "smollm2-135m",
        str(tmp_path / "eta-02" / "model"): "eta-02",
        str(tmp_path / "eta-02"): "eta-02",
    }
    assert {each: served_name(ServeConfig(model=each)) for each in names} == names
