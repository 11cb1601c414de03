"""Sources of text: how they are named, what is read of them, and what a wrong name is told."""

import gzip
import json

import pytest
from fakes import trajectory

from agentray.contamination import sources
from agentray.contamination.parse import check_names, parse_source
from agentray.contamination.search import read_examples
from agentray.contamination.sources import TaskName
from agentray.contamination.tokens import WordTokenizer
from agentray.data.journal import entries
from agentray.data.store import RunStore, write_shard
from agentray.errors import DataError, UsageError

CHAT = {
    "id": "os_0",
    "conversations": [
        {"from": "human", "value": "Rules."},
        {"from": "gpt", "value": "Ok.", "loss": False},
        {"from": "human", "value": "The task."},
        {"from": "gpt", "value": "Done.", "loss": True},
    ],
}


def source(spec, num_tasks=3):
    return parse_source(str(spec), num_tasks, {})


def read(spec, side="train"):
    found = source(spec)
    return [each for part in found.parts() for each in found.documents(part, side)]


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_conversation_trains_on_all_it_says_and_tests_its_task(tmp_path):
    for path in (lines(tmp_path / "a.jsonl", CHAT), tmp_path / "a.json"):
        if path.suffix == ".json":
            path.write_text(json.dumps([CHAT]))
        (whole,), (task,) = read(path), read(path, "test")
        assert (whole.text, whole.id) == ("Rules.\nOk.\nThe task.\nDone.", "os_0")
        assert task.text == "The task."


def test_a_source_is_read_wherever_a_worker_runs(tmp_path, monkeypatch):
    lines(tmp_path / "a.jsonl", CHAT)
    write_shard(tmp_path / "shard-000000.parquet", [trajectory(0)])
    monkeypatch.chdir(tmp_path)
    found = [source("a.jsonl"), source(".")]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [len(list(each.documents(each.parts()[0], "train"))) for each in found] == [1, 1]
    assert [each.name for each in found] == ["a", tmp_path.name]


def test_records_that_are_no_conversation_are_left_out_with_their_reason(tmp_path):
    path = lines(tmp_path / "a.jsonl", CHAT, {"messages": []}, {"x": 1})
    assert [each.left_out for each in read(path)] == [None, "no_messages", "no_messages"]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"question": "Q?", "choices": ["a", "b"], "answer": "B"}, "Q?\na\nb"),
        ({"question": "Q?", "answer": "#### 1"}, "Q?"),
        ({"task_id": "HumanEval/0", "prompt": "def f():", "test": "x"}, "def f():"),
        ({"question_id": 81, "turns": ["one", "two"]}, "one\ntwo"),
    ],
)
def test_benchmark_records_are_known_by_their_fields(tmp_path, record, text):
    (document,) = read(lines(tmp_path / "a.jsonl", record), "test")
    assert document.text == text
    assert document.id == next(
        (str(record[key]) for key in ("task_id", "question_id") if key in record), None
    )


def test_named_fields_are_read_and_records_without_them_left_out(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"q": "Why?", "n": 7}, {"q": "How?"}, {"q": None, "n": 1})
    texts = [(each.text, each.left_out) for each in read(f"{path}:q+n")]
    assert texts == [("Why?\n7", None), ("", "no_text_in_the_fields"), ("", "no_text_in_the_fields")]


def test_a_text_file_has_a_document_a_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n\ntwo\nthree")
    found = [(each.number, each.text, each.left_out) for each in read(path)]
    assert found == [(0, "one", None), (1, "", "empty"), (2, "two", None), (3, "three", None)]


@pytest.mark.parametrize("step", [1, 7, 16, 1000])
def test_the_parts_of_a_file_hold_every_line_once(tmp_path, step):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {'x' * (n % 9)} {n}\n" for n in range(40)))
    found, size = source(path), path.stat().st_size
    ranges = [(start, min(start + step, size)) for start in range(0, size, step)]
    parts = [[each.text for each in found.documents(part, "train")] for part in ranges]
    assert [text for part in parts for text in part] == path.read_text().splitlines()


def test_a_run_trains_on_its_conversations_and_tests_its_first_observations(tmp_path):
    write_shard(tmp_path / "shard-000000.parquet", [trajectory(0), trajectory(1, status="failed")])
    write_shard(tmp_path / "shard-000001.parquet", [trajectory(2)])
    first, failed, second = read(tmp_path)
    assert first.text == "Count.\nOk.\nFrom 0 to 2.\nAction: 1\nLast number: 1\nAction: 2"
    assert first.task == TaskName("count", "train/0", f"{0:016x}")
    assert (failed.left_out, second.id) == ("failed", trajectory(2).key)
    assert [each.text for each in read(tmp_path, "test")] == ["From 0 to 2."] * 3


def test_a_run_that_goes_on_is_read_as_far_as_it_is(tmp_path):
    with RunStore(tmp_path, segment_rows=2) as store:
        for number in range(3):
            store.commit(entries(trajectory(number)))
        going_on = read(tmp_path)
    assert len(going_on) == 3
    assert {each.text for each in going_on} == {each.text for each in read(tmp_path)}


def test_a_broken_shard_is_named(tmp_path):
    (tmp_path / "shard-000000.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="shard-000000"):
        read(tmp_path)


def test_a_shard_that_was_set_aside_is_counted_and_not_passed_over(tmp_path):
    write_shard(tmp_path / "shard-000000.parquet", [trajectory(0), trajectory(1)])
    (tmp_path / "shard-000001.parquet.corrupt").write_bytes(b"x")
    found = read(tmp_path)
    assert [each.left_out for each in found] == ["unreadable_shard", None, None]
    assert found[0].id == "shard-000001.parquet.corrupt"
    assert [each.number for each in found] == [0, 1, 2]


def test_an_environment_gives_its_first_tasks():
    documents = read("env:count/test")
    assert [each.id for each in documents] == ["test/0", "test/1", "test/2"]
    assert all(each.text and each.task.env == "count" for each in documents)


def test_of_several_attempts_at_a_task_one_is_an_example(tmp_path):
    write_shard(tmp_path / "shard-000000.parquet", [trajectory(0), trajectory(0, sample=1), trajectory(1)])
    (found,) = read_examples([source(f"mine={tmp_path}")], WordTokenizer()).sets
    assert (found.name, len(found.examples), found.left_out) == ("mine", 2, {"another_attempt": 1})
    assert [each.id for each in found.tasks] == ["train/0", "train/1"]


@pytest.mark.parametrize(
    ("spec", "name"),
    [("{}/a.jsonl", "a"), ("x={}/a.jsonl", "x"), ("{}/a.jsonl:id", "a"), ("env:count/test", "count/test")],
)
def test_a_source_is_called_what_the_user_says_or_what_it_is(tmp_path, spec, name):
    lines(tmp_path / "a.jsonl", CHAT)
    assert source(spec.format(tmp_path)).name == name


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{}/chat.jsonl", "did you mean 'chats.jsonl'?"),
        ("{}/none/chat.jsonl", "there is no directory"),
        ("{}/chats.jsonl:idd", "did you mean 'id'?"),
        ("{}/odd.jsonl", "its records have: content, title"),
        ("{}/lines.txt:text", "one document a line"),
        ("{}/table.csv", "accepted: .json, .json.gz, .jsonl, .jsonl.gz, .txt"),
        ("{}", "holds no trajectories"),
        ("env:cuont/test", "did you mean 'count'?"),
        ("env:count/tset", "did you mean 'test'?"),
        ("env:count", "accepted: test, train, validation"),
    ],
)
def test_a_wrong_source_is_told_what_there_is(tmp_path, spec, said):
    lines(tmp_path / "chats.jsonl", CHAT)
    lines(tmp_path / "odd.jsonl", {"title": "T", "content": "C"})
    (tmp_path / "lines.txt").write_text("a")
    (tmp_path / "table.csv").write_text("a,b")
    with pytest.raises(UsageError) as raised:
        source(spec.format(tmp_path))
    assert said in str(raised.value)


def test_two_sources_of_one_name_are_refused(tmp_path):
    path = lines(tmp_path / "a.jsonl", CHAT)
    with pytest.raises(UsageError, match="two sources of --train are called 'a'"):
        check_names([source(path), source(f"a={path}")], "train")


@pytest.mark.parametrize("text", ["", "\n\n", "[1]\n", "{"])
def test_a_file_without_records_is_refused(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(DataError):
        source(tmp_path / "a.jsonl")


def test_a_line_that_is_no_json_is_named(tmp_path):
    path = lines(tmp_path / "a.jsonl", CHAT)
    path.write_text(path.read_text() + "{broken\n")
    with pytest.raises(DataError, match="broken"):
        read(path)


def test_a_test_set_without_examples_is_refused(tmp_path):
    path = lines(tmp_path / "a.jsonl", CHAT, {"messages": []})
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(DataError, match="no_messages"):
        read_examples([source(path)], WordTokenizer())


def test_whatever_a_conversation_says_is_compared(tmp_path):
    turns = [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "reasoning": "Look.",
            "tool_calls": [{"name": "look", "arguments": {"at": "ü"}}],
        },
        {"role": "tool", "content": "4 C"},
        {"role": "assistant", "content": "Cold."},
    ]
    path = lines(tmp_path / "a.jsonl", {"messages": turns, "tools": [{"name": "look"}]}, turns)
    path.write_text(path.read_text() + '{"messages": [{"role')
    first, second, cut = read(path)
    said = '\nWeather?\nLook.\n{"name": "look", "arguments": {"at": "ü"}}\n4 C\nCold.'
    assert first.text == '{"type": "function", "function": {"name": "look"}}' + said
    assert second.text == said[1:] and cut.left_out == "cut_off_line"


@pytest.mark.parametrize(
    "record", [{"instruction": "Q", "input": "", "output": "A"}, {"prompt": "Q", "completion": "A"}]
)
def test_instructions_with_their_answers_are_conversations(tmp_path, record):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(record).encode()))
    assert [each.text for side in ("train", "test") for each in read(path, side)] == ["Q\nA", "Q"]


def test_a_large_file_of_lines_is_read_in_parts_and_another_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_PART_BYTES", 300)
    path = lines(tmp_path / "a.jsonl", *[CHAT] * 9)
    assert len(source(path).parts()) > 3 and len(read(path)) == 9
    path.write_text(json.dumps([CHAT] * 9))
    assert len(source(path).parts()) == 1 and len(read(path)) == 9
