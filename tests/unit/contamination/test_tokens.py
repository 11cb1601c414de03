"""Cutting text into words: what is a word, in any script."""

import random
import re

import pytest

from agentray.contamination.tokens import WordTokenizer

WORDS = WordTokenizer()


def words(text):
    tokens = WORDS.tokenize([text])
    edges = zip(tokens.starts, tokens.ends, strict=True)
    return [tokens.content[start:end].tobytes().decode() for start, end in edges]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\x00", []),
        ("Don't", ["don", "'", "t"]),
        ("snake_case2 = x+1", ["snake", "_", "case2", "=", "x", "+", "1"]),
        ("CAFÉ cafe\u0301", ["café", "café"]),
        ("Straße ΣΊΣΥΦΟΣ ёЖ", ["straße", "σίσυφοσ", "ёж"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("中文字 かな abc", ["中", "文", "字", "か", "な", "abc"]),
        ("한국어 text", ["한국어", "text"]),
        ("“so” — 3€ ½ ²", ["“", "so", "”", "—", "3", "€", "½", "²"]),
        ("a\u00a0b\u3000c\u200bd", ["a", "b", "c", "d"]),
        ("😀x😀😀", ["😀", "x", "😀", "😀"]),
        ("Ⱥx", ["Ⱥx"]),
        ("half \ud83d pair", ["half", "?", "pair"]),
    ],
)
def test_words_and_marks_are_told_apart(text, expected):
    assert words(text) == expected


def test_ascii_text_is_cut_as_the_plain_expression_cuts_it():
    source = random.Random(0)
    for _ in range(50):
        text = "".join(chr(source.randrange(128)) for _ in range(200))
        assert words(text) == re.findall(r"[a-z0-9]+|[!-/:-@\[-`{-~]", text.lower())


def test_documents_keep_their_own_tokens():
    tokens = WORDS.tokenize(["a b", "", "é", "c"])
    assert tokens.bounds.tolist() == [0, 2, 2, 3, 4]
    assert WORDS.tokenize([]).bounds.tolist() == [0]


def test_a_passage_is_the_text_as_it_was_written():
    tokens = WORDS.tokenize(["Say “Hé  YOU”, now", "Next"])
    assert WORDS.passage(tokens, 1, 5) == "“Hé  YOU”"
    assert WORDS.passage(tokens, 7, 8) == "Next"
