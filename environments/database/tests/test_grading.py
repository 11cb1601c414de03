import pytest

from agentray_database.environment.grading import is_correct, parse_answer


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('["March 19, 1998"]', ["March 19, 1998"]),
        (" ['a', \"b\"] ", ["a", "b"]),
        ("[1, 2.5]", ["1", "2.5"]),
        ("('a', 'b')", ["a", "b"]),
        ("[[1, 2]]", ["[1, 2]"]),
        ('["Île"]', ["Île"]),
        ('"a"', ["a"]),
        ("42", ["42"]),
        ("March 19", ["March 19"]),
        ("", [""]),
        ("[]", []),
    ],
)
def test_answers_are_read_as_literals(text, items):
    assert parse_answer(text) == items


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/evaluated')",
        "[" * 5000,
        "[1" + "," * 20_000,
        "9" * 9_000,
        "[" + "-" * 5000 + "1]",
        "{[]: 1}",
        "[0x" + "f" * 4000 + "]",
    ],
)
def test_hostile_answers_are_only_text(text):
    assert parse_answer(text) == [text.strip()]


@pytest.mark.parametrize(
    ("answer", "label", "correct"),
    [
        (["7"], ["7.0"], True),
        (["7.5"], ["7"], False),
        (["abc"], ["abc"], True),
        (["Abc"], ["abc"], False),
        (["1,174"], ["1174.0"], False),
        (["a", "b"], ["b", "a"], True),
        (["a", "a"], ["a"], True),
        (["a"], ["a", "b"], False),
        ([], ["none"], False),
        (["nan"], ["nan"], False),
    ],
)
def test_answers_are_graded_as_agentbench_does(answer, label, correct):
    assert is_correct(answer, label) is correct
