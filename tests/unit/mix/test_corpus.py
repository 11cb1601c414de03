"""What training reads: damage and strangers are refused, and a corpus has an identity."""

import json
import shutil

import pytest
from fakes import byte_tokenizer

from agentray.chat.loading import fingerprint
from agentray.errors import DataError, UsageError
from agentray.mix.corpus import corpus_digest, read_corpus
from agentray.mix.run import run


@pytest.fixture
def mixed(mix_of, attempts, chats):
    """Settings of a finished mix of 4 attempts and 5 chats."""
    config = mix_of(agent=[attempts("first", 4, envs=("count",))], general=[chats("chats.jsonl", 5)])
    run(config)
    return config


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{}"])
@pytest.mark.parametrize("name", ["corpus/000-0000.arrow", "mixture.json"])
def test_a_damaged_corpus_is_a_data_error(mixed, name, text):
    (mixed.out / name).write_bytes(text)
    with pytest.raises(DataError, match="cannot read the corpus"):
        read_corpus(mixed.out)


def test_a_corpus_of_an_earlier_version_is_to_be_mixed_again(mixed):
    path = mixed.out / "mixture.json"
    document = json.loads(path.read_text())
    del document["version"]
    path.write_text(json.dumps(document))
    for read in (read_corpus, corpus_digest):
        with pytest.raises(DataError) as caught:
            read(mixed.out)
        assert "version 1" in caught.value.why and "run `agentray mix` again" in caught.value.fix


def test_the_output_of_another_stage_is_no_corpus(mixed, tmp_path):
    with pytest.raises(UsageError, match="holds no tokenized corpus"):
        read_corpus(tmp_path / "first")


def test_a_corpus_says_which_tokenizer_made_it(mixed):
    mine, other = byte_tokenizer(), byte_tokenizer(pairs=["ab"])
    assert read_corpus(mixed.out).tokenizer == fingerprint(mine) != fingerprint(other)


def test_a_corpus_is_what_it_holds_wherever_it_lies(mixed, mix_of, tmp_path):
    before = corpus_digest(mixed.out)
    shutil.move(mixed.out, tmp_path / "moved")
    assert corpus_digest(tmp_path / "moved") == before
    run(mixed)
    assert corpus_digest(mixed.out) == before
    for changes in ({"eta": 0.5}, {"seed": 1}, {"max_length": 116}, {"sources": mixed.sources[:1], "eta": 1}):
        other = mixed.model_copy(update={"out": tmp_path / "other", **changes})
        run(other)
        assert corpus_digest(other.out) != before
