import pickle

import pytest

from agentray import errors

CLASSES = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.AgentrayError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_pickling_with_its_fields(kind):
    copy = pickle.loads(pickle.dumps(kind("what", "why", "fix")))
    assert type(copy) is kind
    assert (copy.what, copy.why, copy.fix) == ("what", "why", "fix")


def test_an_error_prints_three_lines():
    assert str(errors.UsageError("a", "b", "c")).splitlines() == ["error: a", "  why: b", "  fix: c"]


def test_the_closest_name_is_offered():
    assert "did you mean 'database'?" in errors.closest("databse", ["alfworld", "database"])
    assert "did you mean" not in errors.closest("zzz", ["alfworld", "database"])
    assert errors.closest("a", []) == "there are none"
