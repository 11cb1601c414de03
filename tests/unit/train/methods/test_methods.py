"""Methods are found by name, and their settings are checked before anything starts."""

import pytest

from agentray.config import TrainConfig, load
from agentray.errors import UsageError
from agentray.train.methods import METHODS, build
from agentray.train.methods.distill import Distill
from agentray.train.methods.full import Full

PLACES = {"data": "d", "model": "m", "out": "o"}


def test_a_name_alone_and_a_table_are_the_same_method():
    assert METHODS.names() == ["distill", "full"]
    assert type(build(TrainConfig(**PLACES).method)) is Full
    alone, table = (TrainConfig(**PLACES, method=each) for each in ("distill", {"name": "distill"}))
    assert alone.method == table.method == {"name": "distill"}
    found = build({"name": "distill", "temperature": 0.5, "frozen_layers": 2})
    assert type(found) is Distill
    assert (found.settings.temperature, found.settings.share, found.settings.frozen_layers) == (0.5, 1.0, 2)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"name": "distil"}, ["unknown training method 'distil'", "did you mean 'distill'?"]),
        ({"name": "full", "temperature": 1}, ["unknown setting 'train.method.temperature'", "accepted"]),
        ({"name": "distill", "share": 2}, ["setting 'train.method.share' is 2", "--set train.method.share="]),
    ],
)
def test_an_unknown_method_or_setting_is_refused_in_three_lines(table, words):
    with pytest.raises(UsageError) as caught:
        build(table)
    assert all(word in str(caught.value) for word in words)


def test_an_entry_point_to_something_else_is_refused(monkeypatch):
    monkeypatch.setattr(type(METHODS), "load", lambda self, name: dict)
    with pytest.raises(UsageError, match="'full' is no training method"):
        build({"name": "full"})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("distillation", "method.share"),
        ("distillation_temperature", "method.temperature"),
        ("frozen_layers", "method.frozen_layers"),
        ("interpolation", "method.interpolation"),
    ],
)
def test_a_setting_that_moved_is_refused_with_its_new_name(old, new):
    with pytest.raises(UsageError, match=f"no setting 'train.{old}' any more") as caught:
        load(TrainConfig, "train", values=PLACES, overrides=[f"train.{old}=1"])
    assert caught.value.fix == f"--set train.{new}=…"
    assert load(TrainConfig, "train", values=PLACES, overrides=[f"train.{new}=1"])
