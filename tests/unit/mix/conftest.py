"""A model directory, and sources to mix."""

import json

import pytest
from chats import write_messages
from fakes import byte_tokenizer, stored_run, trajectory

from agentray.config import MixConfig
from agentray.types import Message, Reply, Task, Turn


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model directory: the tokenizer and a configuration with a context of 400, without weights."""
    directory = tmp_path_factory.mktemp("model")
    byte_tokenizer().save_pretrained(directory)
    described = {"model_type": "llama", "vocab_size": 300, "max_position_embeddings": 400}
    (directory / "config.json").write_text(json.dumps(described))
    (directory / "model.safetensors").write_bytes(b"")
    return str(directory)


@pytest.fixture
def mix_of(tmp_path, model):
    """Settings of a mix into `mix`."""

    def settings(**values):
        return MixConfig(**({"out": tmp_path / "mix", "model": model} | values))

    return settings


@pytest.fixture
def chats(tmp_path):
    """Writes a file of so many chats, each with another reply."""

    def write(name, number, text="hello "):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        talks = [
            (Message("user", f"hi {index}"), Message("assistant", text * (1 + index % 5), loss=True))
            for index in range(number)
        ]
        write_messages(path, talks)
        return path

    return write


@pytest.fixture
def attempts(tmp_path):
    """Writes a finished run of attempts; every third is of another environment."""

    def write(name, number, *, envs=("other", "count", "count"), split="train", policies=("expert",)):
        found = []
        for index in range(number):
            task = Task(envs[index % len(envs)], f"{split}/{index}", split, {}, f"{index:016x}")
            turns = (
                Turn(Reply(f"Action: {index}"), "1", f"Last number: {index}"),
                Turn(Reply("Action: 2" * (1 + index % 4)), "2", "", 1.0),
            )
            policy = policies[index % len(policies)]
            found.append(trajectory(index, task=task, turns=turns, policy=policy))
        return stored_run(tmp_path / name, found)

    return write
