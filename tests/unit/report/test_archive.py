"""What the page embeds is what the store held."""

import json
import math
from dataclasses import replace

import pytest
from fakes import stored_run, trajectory

from agentray.report.archive import CHUNK_ROWS, encode, pack, unpack
from agentray.report.reading import read_runs
from agentray.report.tokens import TokenBounds, find_bounds
from agentray.types import Message, Reply, Turn, Usage

HOSTILE = "</script><img src=x onerror=alert(1)><!-- \u2028\u202e \x00 é😀"


def packed(tmp_path, *runs, bounds=None):
    directories = [stored_run(tmp_path / f"run{index}", made) for index, made in enumerate(runs)]
    read = read_runs(directories, most=10_000)
    return encode(read, [bounds] * len(read))


def records(archive):
    """All records, with shared texts in their places, as the page's script puts them."""
    texts = unpack(archive.texts)
    found = [record for chunk in archive.chunks for record in unpack(chunk)]
    for record in found:
        for holder, name in [(each, "text") for each in record["prompt"]] + [
            (turn, name) for turn in record["turns"] for name in ("reply", "observation")
        ]:
            holder[name] = texts[holder[name]] if isinstance(holder[name], int) else holder[name]
    return found


def test_every_text_comes_back_as_it_was(tmp_path):
    turns = (
        Turn(Reply(HOSTILE, (1,), (-0.5,), Usage(9, 1), "length", 1.25), None, HOSTILE),
        Turn(Reply("Action: 2"), "2", "", 1.0),
    )
    made = trajectory(prompt=(Message("user", HOSTILE),), turns=turns, seed=2**60, metrics={"x": math.inf})
    archive = packed(tmp_path, [made])
    (record,) = records(archive)
    assert record["prompt"] == [{"role": "user", "loss": False, "text": HOSTILE}]
    assert record["turns"] == [
        {
            "reply": HOSTILE,
            "observation": HOSTILE,
            "reward": 0.0,
            "finish": "length",
            "seconds": 1.25,
            "tokens": 1,
            "surprise": [50],
        },
        {"reply": "Action: 2", "action": "2", "observation": "", "reward": 1.0, "seconds": 0.0},
    ]
    assert (record["seed"], record["metrics"]) == (str(2**60), {"x": None})


def test_a_block_cannot_end_the_element_that_holds_it():
    block = pack([HOSTILE, "\ud800"])
    assert unpack(block) == [HOSTILE, "\ud800"]
    assert block.isascii() and not set(block) & set("<>&\"'!")
    assert block == pack([HOSTILE, "\ud800"])


def test_a_text_of_many_chunks_is_stored_once(tmp_path):
    instruction = "Count as you are told. " * 20
    made = [
        trajectory(index, prompt=(Message("user", instruction), Message("user", f"{index}")))
        for index in range(2 * CHUNK_ROWS + 1)
    ]
    archive = packed(tmp_path, made)
    assert len(archive.chunks) == 3
    assert unpack(archive.texts) == [instruction]
    assert unpack(archive.chunks[2])[0]["prompt"][0]["text"] == 0
    assert {record["prompt"][0]["text"] for record in records(archive)} == {instruction}


def test_attempts_at_the_same_task_lie_side_by_side_in_natural_order(tmp_path):
    made = [trajectory(index) for index in (10, 2)]
    archive = packed(tmp_path, made, [replace(each, policy="tuned", reward=0.0) for each in made])
    columns = unpack(archive.index)["columns"]
    assert columns["id"] == ["train/2", "train/2", "train/10", "train/10"]
    assert columns["run"] == [0, 1, 0, 1]
    assert columns["task"] == [0, 0, 1, 1]
    assert columns["outcome"] == ["won", "lost"] * 2
    assert {len(column) for column in columns.values()} == {4}


def test_an_infrastructure_failure_is_not_lost_by_the_model(tmp_path):
    lost = trajectory(reward=None, status="failed", error="the engine died", turns=())
    archive = packed(tmp_path, [lost, trajectory(1, status="truncated", reward=0.0)])
    columns = unpack(archive.index)["columns"]
    assert (columns["outcome"], columns["truncated"]) == (["unscored", "lost"], [0, 1])
    errors = unpack(archive.index)["errors"]
    assert [errors[kind]["type"] for kind in columns["errors"][0]] == ["infrastructure_failure"]


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("You are in a room.\nYour task is to: put a mug on the desk.", "put a mug on the desk."),
        ("\n\nWho won?\nThe table is games.", "Who won?"),
        ("", ""),
        ("x" * 500, "x" * 140),
    ],
)
def test_the_list_names_the_task(tmp_path, said, title):
    archive = packed(tmp_path, [trajectory(prompt=(Message("user", said),))])
    assert unpack(archive.index)["columns"]["title"] == [title]


def test_log_probabilities_that_are_not_finite_are_the_least(tmp_path):
    turns = (Turn(Reply("Action: 2", (1, 2, 3), (-math.inf, 0.0, -1e9)), "2", "", 1.0),)
    (record,) = records(packed(tmp_path, [trajectory(turns=turns)]))
    assert record["turns"][0]["surprise"] == [9999, 0, 9999]


@pytest.fixture
def bytewise(tmp_path):
    """A byte-level tokenizer without merges, so that a character may take several tokens."""
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    inner = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={each: index for index, each in enumerate(alphabet)}, merges=[])
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    inner.add_special_tokens(["<|end|>"])
    inner.save(str(tmp_path / "tokenizer.json"))
    return inner


def test_token_lengths_add_up_to_the_reply_in_utf_16(tmp_path, bytewise):
    text = "a é😀 b"
    lengths = TokenBounds(tmp_path / "tokenizer.json").lengths(bytewise.encode(text + "<|end|>").ids, text)
    assert lengths == [1, 1, 0, 1, 0, 0, 0, 2, 1, 1, 0]
    assert sum(lengths) == len(text.encode("utf-16-le")) // 2


def test_ids_of_another_tokenizer_give_no_lengths(tmp_path, bytewise):
    bounds = TokenBounds(tmp_path / "tokenizer.json")
    ids = bytewise.encode("count").ids
    assert bounds.lengths(ids, "recount") is None
    assert bounds.lengths(ids, "counted") is None
    assert bounds.lengths([*ids, *bytewise.encode("é").ids[:1]], "count") is None
    assert bounds.lengths([], "") == []


def test_lengths_are_embedded_where_the_tokenizer_is_there(tmp_path, bytewise):
    ids = tuple(bytewise.encode("Action: 2").ids)
    turns = (Turn(Reply("Action: 2", ids, (-0.1,) * len(ids)), "2", "", 1.0),)
    archive = packed(tmp_path / "runs", [trajectory(turns=turns)], bounds=find_bounds([tmp_path]))
    (record,) = records(archive)
    assert record["turns"][0]["lengths"] == [1] * len(ids)
    assert find_bounds([tmp_path / "nowhere"]) is None


def test_of_many_attempts_all_those_at_some_tasks_are_shown(tmp_path):
    made = [trajectory(index, sample=sample) for index in range(6) for sample in range(2)]
    runs = [stored_run(tmp_path / name, made) for name in ("base", "tuned")]
    read = read_runs(runs, most=11)
    shown = [[(each.task.id, each.sample) for each, _ in run.shown] for run in read]
    assert shown[0] == shown[1] == [(f"train/{index}", sample) for index in range(2) for sample in range(2)]
    assert [run.cost.attempts for run in read] == [12, 12]
    assert encode(read, [None, None]).num_attempts == 8


def test_the_index_is_plain_json(tmp_path):
    index = unpack(packed(tmp_path, [trajectory()]).index)
    assert json.loads(json.dumps(index, allow_nan=False)) == index
    assert index["runs"] == [{"name": "run0"}]
    assert index["columns"]["key"] == ["count:train/0#0@expert"]
