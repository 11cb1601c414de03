"""The mix stage: counts that add up, sources told apart, damaged files named."""

import json
import shlex

import pytest
from fakes import byte_tokenizer, stored_run, trajectory

from agentray.chat.loading import fingerprint
from agentray.config import MixConfig, load
from agentray.errors import DataError, UsageError
from agentray.formats.conversations import write_messages
from agentray.mix import corpus
from agentray.types import Message, Reply, Turn


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model directory: the tokenizer and a configuration with a context of 400, without weights."""
    directory = tmp_path_factory.mktemp("model")
    byte_tokenizer().save_pretrained(directory)
    described = {"model_type": "llama", "vocab_size": 300, "max_position_embeddings": 400}
    (directory / "config.json").write_text(json.dumps(described))
    (directory / "model.safetensors").write_bytes(b"")
    return str(directory)


def chats(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    conversation = (Message("user", "hi"), Message("assistant", "hello", loss=True))
    write_messages(path, [conversation] * number)
    return path


@pytest.fixture
def mixed(tmp_path, model):
    """Settings of a mix of 4 attempts and 5 chats."""
    turns = (Turn(Reply("Action: 1"), "1", "", 1.0),)
    stored_run(tmp_path / "filter", [trajectory(index, turns=turns) for index in range(4)])
    general = [GeneralSource(path=chats(tmp_path / "chats.jsonl", 5), name="chats")]
    return MixConfig(agent=[tmp_path / "filter"], general=general, out=tmp_path / "mix", model=model)


def test_a_corpus_reads_back_with_all_that_was_read(mixed):
    summary = corpus.run(mixed)
    assert summary.read == {"count": 4, "chats": 5} and not summary.set_aside
    assert summary.samples == summary.training
    for name, count in summary.read.items():
        held_out = summary.validation.get(name, 0)
        assert count == summary.training[name] + held_out + sum(summary.rejected[name].values())
    back = corpus.read_corpus(mixed.out)
    assert {name: len(rows) for name, rows in back.training.items()} == summary.training


def test_general_sources_of_one_name_are_refused_with_an_option_that_names_them(mixed, tmp_path):
    paths = [chats(tmp_path / "a" / "chats.jsonl", 7), chats(tmp_path / "b" / "chats.jsonl", 20)]
    sources = [GeneralSource(path=path, name=path.stem) for path in paths]
    with pytest.raises(UsageError, match="two general sources are called 'chats'") as caught:
        corpus.run(mixed.model_copy(update={"general": sources}))
    override = shlex.split(caught.value.fix.partition("--set ")[2])
    summary = corpus.run(load(MixConfig, "mix", overrides=override, values=mixed.model_dump()))
    assert summary.read == {"count": 4, "chats-1": 7, "chats-2": 20}


def test_a_shard_that_cannot_be_read_is_named(mixed, tmp_path):
    shard = tmp_path / "filter" / "shard-000001.parquet"
    shard.write_bytes(b"PAR1 half a shard")
    assert [shard.name in each for each in corpus.run(mixed).set_aside] == [True]
    (tmp_path / "filter" / "shard-000000.parquet").unlink()
    with pytest.raises(DataError, match=r"no trajectory that can be read(.|\n)*shard-000001"):
        corpus.run(mixed)


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{}"])
@pytest.mark.parametrize("name", ["corpus.parquet", "mixture.json"])
def test_a_damaged_corpus_is_a_data_error(mixed, name, text):
    corpus.run(mixed)
    (mixed.out / name).write_bytes(text)
    with pytest.raises(DataError, match="cannot read the corpus"):
        corpus.read_corpus(mixed.out)


def test_the_output_of_another_stage_is_no_corpus(mixed, tmp_path):
    with pytest.raises(UsageError, match="holds no tokenized corpus"):
        corpus.read_corpus(tmp_path / "filter")


def records(path, *dialogues):
    """A file of conversations of user and assistant."""
    path.write_text(
        "\n".join(
            json.dumps(
                {
                    "messages": [
                        {"role": role, "content": text} for role, text in zip(ROLES, talk, strict=False)
                    ]
                }
            )
            for talk in dialogues
        )
    )
    return path


ROLES = ("user", "assistant") * 3


def test_the_agent_side_takes_files_by_their_name_or_another(tmp_path, model):
    path = records(tmp_path / "talk.jsonl", ("a", "b"), ("c", "d"))
    config = {"general": [], "eta": 1, "out": tmp_path / "mix", "model": model}
    assert corpus.run(MixConfig(agent=[str(path)], **config)).training == {"talk": 2}
    summary = corpus.run(MixConfig(agent=[f"web={path}", f"os={path}"], **config))
    assert summary.training == {"web": 2, "os": 2}
    assert corpus.read_corpus(tmp_path / "mix").agent == ("web", "os")


def test_a_side_that_nothing_is_drawn_from_is_not_needed(mixed):
    only_general = mixed.model_copy(update={"agent": [], "eta": 0.0})
    assert corpus.run(only_general).realised == {"chats": 1.0}
    only_agent = mixed.model_copy(update={"general": [], "eta": 1.0})
    assert corpus.run(only_agent).realised == {"count": 1.0}
    with pytest.raises(UsageError, match="agent"):
        corpus.run(mixed.model_copy(update={"agent": []}))


def test_what_became_of_a_side_that_is_rejected_whole_is_said(mixed, tmp_path):
    path = records(tmp_path / "long.jsonl", ("a", "b" * 300), ("a", "b" * 350))
    long = mixed.model_copy(update={"general": [GeneralSource(path=path, name="long")], "max_length": 200})
    with pytest.raises(DataError) as caught:
        corpus.run(long)
    assert "none of the 2 general conversations" in caught.value.what
    assert "'too_long': 2" in caught.value.why and "long.jsonl:1" in caught.value.why
    assert "mix.max_length, now 200" in caught.value.fix


def test_samples_beyond_the_context_of_the_model_are_rejected_each_by_name(mixed, tmp_path):
    path = records(tmp_path / "mixed.jsonl", ("a", "b" * 450), ("a", "b"), ("a", "b"))
    summary = corpus.run(mixed.model_copy(update={"general": [GeneralSource(path=path, name="chats")]}))
    assert summary.rejected["chats"] == {"too_long": 1}
    (line,) = (mixed.out / corpus.REJECTED).read_text().splitlines()
    assert json.loads(line)["place"] == "mixed.jsonl:1"
    assert "max_length 400" in json.loads(line)["detail"]


def test_a_corpus_says_which_tokenizer_made_it(mixed):
    corpus.run(mixed)
    mine, other = byte_tokenizer(), byte_tokenizer(pairs=["ab"])
    assert corpus.read_corpus(mixed.out).tokenizer == fingerprint(mine) != fingerprint(other)
