import json

import pytest

from agentray.encoding import decode, encode


@pytest.mark.parametrize(
    "document",
    [{"a": [1, 2.5, None, True]}, {"text": '€ 愛 \x00 \u2028 " \\'}, {"half": "\ud83d"}, [], "", 10**30],
)
def test_what_was_encoded_is_one_line_and_decodes_to_the_same(document):
    line = encode(document)
    assert b"\n" not in line
    assert decode(line) == json.loads(line) == document


def test_python_text_with_what_the_fast_decoder_refuses_is_read_too():
    assert decode(b'{"half": "\\ud83d"}') == {"half": "\ud83d"}
    assert decode(b"[1e999]") == [float("inf")]


@pytest.mark.parametrize("text", [b"", b"{", b'{"a": 1} x', b"\xff", b"<html>"])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        decode(text)


def test_endless_nesting_is_an_error_and_no_crash():
    with pytest.raises((RecursionError, ValueError)):
        decode(b"[" * 200_000)


def test_what_is_no_number_becomes_null():
    assert encode([float("nan"), float("inf")]) == b"[null,null]"
