"""The contamination report on a real local Ray, over the command line."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import trajectory

from agentray import manifest
from agentray.cli import main
from agentray.config import ContaminationConfig
from agentray.contamination import sources
from agentray.contamination.run import TOGETHER, run
from agentray.data.store import write_shard
from agentray.env import build, resolve

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]
DATA = Path(os.environ.get("AGENTRAY_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
TEXT = "the quick brown fox jumps over the lazy dog and then sleeps for a while in the warm sun"
WORDS = TEXT.split(" ")


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["contamination", *map(str, arguments)])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def write(path, *texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture
def files(tmp_path):
    """A test set of two examples of ten tokens or more, and two training files that share parts of it."""
    test = write(tmp_path / "test.jsonl", " ".join(WORDS), " ".join(f"z{n}" for n in range(20)))
    one = write(tmp_path / "one.jsonl", "nothing here", "so " + " ".join(WORDS[:12]) + " end")
    two = write(tmp_path / "two.jsonl", *("filler text" for _ in range(30)), " ".join(WORDS[6:]).upper())
    return test, one, two


def test_rates_and_spans_are_reported_for_every_pair(local_ray, files, tmp_path, capsys):
    test, one, two = files
    out = tmp_path / "out"
    code, printed, _ = call(capsys, "--train", one, "--train", two, "--test", test, "--out", out, "--json")
    summary = json.loads(printed)
    assert code == 0
    assert summary == json.loads((out / "contamination.json").read_text())
    rows = {each["train"]: each for each in summary["overlaps"]}
    assert {name: each["num_contaminated_tokens"] for name, each in rows.items()} == {
        "one": 12,
        "two": 13,
        TOGETHER: 19,
    }
    assert [(each["num_examples"], each["clean"], each["dirty"]) for each in rows.values()] == [
        (2, 1, 0),
        (2, 1, 0),
        (2, 1, 1),
    ]
    (span,) = rows["two"]["passages"]
    assert (span["test_example"], span["train_example"], span["num_tokens"]) == ("#1", "#31", 13)
    assert span["train_text"] == span["test_text"].upper() == " ".join(WORDS[6:]).upper()
    assert manifest.read(out).counts["same_tasks"] == 0


def test_a_file_gives_the_same_report_in_many_parts_as_in_one(local_ray, files, monkeypatch):
    test, one, two = files
    config = ContaminationConfig(train=[str(one), str(two)], test=[str(test)])
    whole = run(config)
    monkeypatch.setattr(sources, "_PART_BYTES", 100)
    assert replace(run(config), wall_s=whole.wall_s) == whole


def test_without_json_the_table_and_the_spans_are_printed(local_ray, files, capsys):
    test, one, _ = files
    code, printed, err = call(capsys, "--train", f"mine={one}", "--test", test)
    assert code == 0
    assert "mine → test" in printed
    assert "train mine #2: the quick brown fox" in printed
    assert "ray" not in err.lower()


def test_a_test_task_among_the_training_tasks_exits_with_one(local_ray, tmp_path, capsys):
    task = next(build(resolve("count")).tasks("test"))
    write_shard(tmp_path / "shard-000000.parquet", [trajectory(0), trajectory(task=task)])
    code, printed, _ = call(capsys, "--train", f"agent={tmp_path}", "--test", "env:count/test", "--json")
    assert code == 1
    (same,) = json.loads(printed)["same_tasks"]
    assert (same["train"], same["test"], same["test_task"]) == ("agent", "count/test", "test/0")
    assert same["fingerprint"] == task.fingerprint


def test_the_splits_of_an_environment_share_no_task(local_ray, capsys):
    code, printed, _ = call(capsys, "--train", "env:count/train", "--test", "env:count/test", "--json")
    assert code == 0
    assert json.loads(printed)["same_tasks"] == []


def test_a_broken_training_record_is_told_in_three_lines(local_ray, files, capsys):
    test, one, _ = files
    one.write_text(one.read_text() + "{broken\n")
    code, printed, err = call(capsys, "--train", one, "--test", test)
    assert (code, printed) == (1, "")
    assert "error: cannot read" in err
    assert "broken" in err
    assert "Traceback" not in err


def test_a_source_without_text_is_an_error(local_ray, files, tmp_path, capsys):
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    code, _, err = call(capsys, "--train", empty, "--test", files[0])
    assert (code, "'empty' holds no text" in err) == (1, True)


def test_a_models_tokenizer_finds_the_same_spans(local_ray, files, tiny_model):
    test, one, _ = files
    summary = run(ContaminationConfig(train=[str(one)], test=[str(test)], tokenizer=tiny_model))
    (found,) = summary.overlaps
    # This model's tokens are bytes, so the span takes in the space that follows it.
    assert found.passages[0].test_text == " ".join(WORDS[:12]) + " "


def test_gsm8k_is_mostly_clean_of_its_own_training_questions(local_ray):
    train, test = DATA / "gsm8k" / "train_head.jsonl", DATA / "gsm8k" / "test_head.jsonl"
    if not train.is_file():
        pytest.skip(f"no GSM8K under {DATA}")
    (found,) = run(ContaminationConfig(train=[str(train)], test=[str(test)])).overlaps
    assert found.num_examples == 800
    assert found.clean > 780
    assert 0 < found.contamination_rate < 0.01
