"""Records come out of any layout, and whatever is broken is named by file and line."""

import gzip
import json

import pytest

from agentray.errors import DataError, UsageError
from agentray.formats import files
from agentray.formats.files import byte_lines, has_lines, lines, records
from agentray.types import Rejection

FIRST = {"messages": [{"role": "user", "content": "one\u2028two\x85three ü"}]}
SECOND = {"messages": [{"role": "user", "content": "four"}]}
ONE, TWO = json.dumps(FIRST, ensure_ascii=False), json.dumps(SECOND)
TURNS = [json.dumps(each["messages"], ensure_ascii=False) for each in (FIRST, SECOND)]


def written(tmp_path, content, name="a.jsonl"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt"])
@pytest.mark.parametrize(
    ("content", "places"),
    [
        (f"{ONE}\n{TWO}\n", (1, 2)),
        (f"{ONE}\r\n\r\n{TWO}", (1, 3)),
        (f"[{ONE}, {TWO}]", (1, 2)),
        (json.dumps([FIRST, SECOND], indent=1), (1, 2)),
        (json.dumps({"version": 1, "data": [FIRST, SECOND]}), (1, 2)),
        (json.dumps({"train": [FIRST, SECOND]}, indent=2), (1, 2)),
        (json.dumps({"chats": [FIRST, SECOND]}), (1, 2)),
        (f"{json.dumps(FIRST, indent=1)}\n{json.dumps(SECOND, indent=1)}\n", (1, 9)),
        (f"{ONE}\n{json.dumps(SECOND, indent=1)}", (1, 2)),
        (f"{ONE} {TWO}", (1, 1)),
        (f"[{ONE}]\n[{TWO}]", ("1[1]", "2[1]")),
        (f"\ufeff{ONE}\n\ufeff{TWO}", (1, 2)),
        (f"{ONE}\n{TWO}".encode("utf-16"), (1, 2)),
        (f"\ufeff[{ONE},\n{TWO}]".encode("utf-16-be"), (1, 2)),
        (f"{ONE}\n{TWO}".encode("utf-32"), (1, 2)),
        (gzip.compress(f"{ONE}\n{TWO}".encode()), (1, 2)),
    ],
)
def test_the_content_says_how_records_are_laid_out(tmp_path, name, content, places):
    found = list(records(written(tmp_path, content, name)))
    assert found == [(f"{name}:{places[0]}", FIRST), (f"{name}:{places[1]}", SECOND)]


@pytest.mark.parametrize(
    ("content", "number"),
    [
        ("", 0),
        ("\ufeff\n", 0),
        ("[]", 0),
        (ONE, 1),
        (json.dumps({**FIRST, "tools": [{"name": "f"}], "images": [{"path": "a"}]}, indent=1), 1),
        (json.dumps({"instruction": "a", "history": [["b", "c"]], "output": "d"}), 1),
        (json.dumps({"question_id": 1, "choices": [{"turns": ["a"]}]}), 1),
        (TURNS[0], 1),
        ("\n".join(TURNS), 2),
        (json.dumps({"conversations": [FIRST["messages"], SECOND["messages"]]}), 2),
    ],
)
def test_one_record_is_not_taken_for_many(tmp_path, content, number):
    assert len(list(records(written(tmp_path, content)))) == number


def test_two_lists_of_records_are_not_guessed_from(tmp_path):
    with pytest.raises(DataError, match="'train', 'test'"):
        list(records(written(tmp_path, json.dumps({"train": [FIRST], "test": [SECOND]}))))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{ONE}\nnot json\n{TWO}\n", "line 2"),
        (f"{ONE}\n{ONE[:20]}\n{TWO}\n{TWO}\n", "line 2"),
        (f'{ONE}\n{{"messages": [\n{TWO}\n', "line 2"),
        (f"{ONE}\n{ONE},\n", "line 2"),
        (f"{ONE}\n{ONE[:-1]}\n\n\n{TWO}\n", "line 2"),
        (b'{"a": "b"}\n{"a": "\xe4b"}\n', "line 2"),
        ('{\n"a": 1,\n"b": 1 2\n}', "line 3, in the value that begins on line 1"),
        ("{}\n{}\n" + "[" * 100_000, "line 3.*nested too deeply"),
        ("{}\n" + "1" * 5000, "line 2"),
        (f"[{ONE},\n{TWO[:20]}", "cut off"),
        (ONE[:20], "cut off"),
        (gzip.compress(b"{}\n" * 1000)[:-9], "after line"),
        (b"\xff\xfe{\x00\x00\xd8", "utf-16"),
        (b"PAR1\x15\x04\xff", "line 1"),
    ],
)
def test_what_is_broken_is_named(tmp_path, content, said):
    with pytest.raises(DataError, match=rf"(?s)a\.jsonl.*{said}"):
        list(records(written(tmp_path, content)))


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("end", ["", "\n", "\0\0\0\0"])
def test_a_writer_that_died_costs_its_last_record(tmp_path, indent, end):
    last = json.dumps({"a": ["ü", True, {"b": -1.5}, "\ud83d"]}, indent=indent)
    for size in range(1, len(last)):
        cut = last[:size].encode() + end.encode()
        _, (place, found) = records(written(tmp_path, ONE.encode() + b"\n" + cut))
        assert (place, found.place, found.reason) == ("a.jsonl:2", "a.jsonl:2", "cut_off_line"), cut


def test_a_letter_cut_in_two_costs_the_last_record_only(tmp_path):
    _, (_, found) = records(written(tmp_path, f"{TWO}\n{ONE}".encode()[: -len('"}]}') - 1]))
    assert found.reason == "cut_off_line"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r'{"a": "\ud83d"}', "unencodable_text"),
        (r'{"a": {"b": ["\u0000"]}}', "unencodable_text"),
        (r'{"\udc00": 1}', "unencodable_text"),
        ('{"a": "x\0y"}', "unencodable_text"),
        ('{"a": ' + "[" * 150 + "]" * 150 + "}", "nested_too_deeply"),
    ],
)
def test_a_record_that_nothing_can_hold_is_rejected_where_it_stands(tmp_path, text, reason):
    _, (place, found), last = records(written(tmp_path, f"{TWO}\n{text}\n{TWO}\n"))
    assert isinstance(found, Rejection) and found.reason == reason
    assert place == found.place == "a.jsonl:2" and found.detail and last == ("a.jsonl:3", SECOND)
    path = written(tmp_path, f"[{TWO}, {text}]", "b.json")
    assert [isinstance(each, Rejection) for _, each in records(path)] == [False, True]


def test_what_is_no_file_is_a_usage_error(tmp_path):
    for path, why in ((tmp_path, "directory"), (tmp_path / "absent.jsonl", "does not exist")):
        with pytest.raises(UsageError, match=why):
            list(records(path))


@pytest.mark.parametrize("step", [1, 7, 50, 10_000])
def test_ranges_of_a_file_hold_each_of_its_records_once(tmp_path, step):
    rows = [{"n": "ü" * (number % 7)} for number in range(30)]
    text = "\r\n\n".join(json.dumps(each, ensure_ascii=False) for each in rows)
    path = written(tmp_path, f'\ufeff{text}\n{{"cut')
    size = path.stat().st_size
    assert has_lines(path)
    ranges = [(start, min(start + step, size)) for start in range(0, size, step)]
    found = [pair for part in ranges for pair in lines(path, *part)]
    assert [each for _, each in found[:-1]] == rows and found[-1][1].reason == "cut_off_line"
    whole = list(byte_lines(path, 0, size))
    assert [pair for part in ranges for pair in byte_lines(path, *part)] == whole


def test_a_broken_line_in_a_range_is_named(tmp_path):
    path = written(tmp_path, f"{TWO}\n{{broken\n{TWO}\n")
    with pytest.raises(DataError, match=rf"(?s)byte {len(TWO) + 1}.*broken"):
        list(lines(path, 0, path.stat().st_size))


@pytest.mark.parametrize(
    "content", ["", ONE, f"[{ONE},\n{TWO}]", json.dumps(FIRST, indent=1), gzip.compress(b"{}\n{}"), "1\n2"]
)
def test_a_file_of_other_layout_is_not_read_in_ranges(tmp_path, content):
    assert not has_lines(written(tmp_path, content))


def test_details_do_not_repeat_whole_records():
    _, detail = files.fault({"a": "x" * 10_000 + "\0"})
    assert len(detail) < 100
