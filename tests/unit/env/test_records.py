"""Records of environments' own files."""

import gzip
import json

import pytest

from agentray.env.records import field, records
from agentray.errors import DataError, UsageError


def read(path):
    return list(records(path, "a word", "write words", lambda record: field(record, "word", str)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_blank_lines_and_byte_order_marks_are_skipped_and_lines_keep_their_numbers(tmp_path, pack):
    path = tmp_path / "words.jsonl"
    path.write_bytes(pack(b'\xef\xbb\xbf{"word": "a"}\r\n\r\n \t\n\xef\xbb\xbf\n{"word": "b\xe2\x80\xa8c"}'))
    assert read(path) == [(1, "a"), (5, "b\u2028c")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"word", "not JSON"),
        (b'{"word": ', "not JSON"),
        (b'{"word": "a"} {"word": "b"}', "not JSON: Extra data"),
        (b'{"word": "a\0"}', "not JSON: Invalid control character"),
        (b'{"word": ' + b"1" * 5000 + b"}", "not JSON"),
        (b'{"word": "\xff"}', "not UTF-8"),
        (json.dumps({"word": "a"}).encode("utf-16"), "not UTF-8"),
        (b'["a"]', "not an object"),
        (b'"word"', "not an object"),
        (b"null", "not an object"),
        (b'{"word": "\\ud83d"}', "half of a surrogate pair"),
        (b'{"word": "a", "\\udc00": 1}', "half of a surrogate pair"),
        (b'{"word": "a", "more": [{"b": "\\u0000"}]}', "a NUL character"),
        (b'{"word": ' + b"[" * 200 + b"]" * 200 + b"}", "nested"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "no `word`"),
        (b'{"word": null}', "`word` is None, not text"),
        (b'{"word": ["a"]}', "`word` is ['a'], not text"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line, why):
    path = tmp_path / "words.jsonl"
    path.write_bytes(b'{"word": "a"}\n\n' + line + b"\n")
    with pytest.raises(DataError, match=r"words\.jsonl:3 is not a word") as caught:
        read(path)
    assert why in caught.value.why and caught.value.fix == "write words"


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", gzip.compress(b"")])
def test_a_file_without_records_is_refused(tmp_path, content):
    (tmp_path / "words.jsonl").write_bytes(content)
    with pytest.raises(DataError, match="holds no records"):
        read(tmp_path / "words.jsonl")


def test_a_damaged_archive_is_named_with_the_line_before(tmp_path):
    path = tmp_path / "words.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"word": "a"}\n')[:-9])
    with pytest.raises(DataError, match=r"words\.jsonl\.gz' cannot be read") as caught:
        read(path)
    assert "after line" in caught.value.why


def test_a_missing_file_and_a_directory_are_usage_errors(tmp_path):
    for path in (tmp_path / "absent.jsonl", tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            read(path)


def test_a_field_may_lie_in_an_object():
    assert field({"a": {"b": {"c": []}}}, "a.b.c", list) == []
    for document in ({}, {"a": "b"}, {"a": {"b": [{"c": []}]}}):
        with pytest.raises(ValueError, match=r"no `a\.b\.c`"):
            field(document, "a.b.c", list)
