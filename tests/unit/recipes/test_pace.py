"""What a recipe expects to take, how a budget cuts it, and what it says while it runs."""

import json

import pytest

from agentray.errors import UsageError
from agentray.recipes import pace
from agentray.recipes.pace import Pace, Planned, estimate, fitted, with_settings
from agentray.recipes.recipe import load_recipe

SPEED = 860.0


@pytest.fixture
def recipe(tmp_path):
    return load_recipe("quickstart", out=tmp_path / "out", overrides=[f"settings.model={tmp_path}"])


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(pace, "gflops", lambda: SPEED)


def total(recipe, speed=SPEED):
    return sum(estimate(recipe, speed).values())


def test_a_slower_machine_and_larger_sizes_take_longer(recipe):
    assert total(recipe, SPEED / 2) == pytest.approx(2 * total(recipe))
    for name in ("num_steps", "num_test", "num_general", "batch_size"):
        assert total(with_settings(recipe, {name: 2 * recipe.settings[name]})) > total(recipe)
    assert total(with_settings(recipe, {"num_alfworld": 0})) < total(recipe)
    assert total(with_settings(recipe, {"benchmark": "records.jsonl"})) > total(recipe)


def test_the_download_is_expected_only_where_the_weights_are_absent(recipe, monkeypatch, tmp_path):
    assert estimate(recipe, SPEED)["weights"] == 0
    monkeypatch.setattr(pace, "cache_directory", lambda: tmp_path / "cache")
    assert estimate(with_settings(recipe, {"model": "smollm2-135m"}), SPEED / 2)["weights"] == 16


@pytest.mark.parametrize("share", [0.6, 0.8, 1.5])
def test_a_budget_cuts_steps_tests_and_answers_alike(recipe, share):
    minutes = share * total(recipe) / 60
    taken = fitted(recipe, SPEED, minutes)
    assert total(taken) <= 60 * minutes
    shares = [taken.settings[name] / recipe.settings[name] for name in ("num_steps", "num_test")]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)
    assert (shares == [1, 1]) == (share >= 1)
    assert taken.settings["num_database"] == recipe.settings["num_database"]


def test_a_budget_that_is_too_small_is_refused_with_the_least_one(recipe):
    with pytest.raises(UsageError, match="too few") as refused:
        fitted(recipe, SPEED, 0.5)
    least = float(refused.value.fix.removeprefix("--minutes "))
    assert fitted(recipe, SPEED, least).settings["num_steps"] >= 8


def test_small_sizes_are_never_raised_to_fit(recipe):
    small = {"num_steps": 2, "num_test": 4, "num_general": 20}
    taken = fitted(with_settings(recipe, small), SPEED, 60)
    assert {name: taken.settings[name] for name in small} == small


def test_the_plan_says_what_was_cut_and_an_interrupted_run_keeps_it(recipe, measured, monkeypatch):
    minutes = 0.7 * total(recipe) / 60
    planned = pace.plan(recipe, minutes)
    taken = planned.recipe.settings["num_steps"]
    assert planned.figures["cut"]["num_steps"] == {"full": recipe.settings["num_steps"], "taken": taken}
    assert f"num_steps {taken} instead of" in pace.announcement(planned)[0]
    recipe.out.mkdir()
    (recipe.out / pace.PLAN).write_text(json.dumps(planned.figures))
    monkeypatch.setattr(pace, "gflops", lambda: SPEED / 1.2)
    assert pace.plan(recipe, minutes).recipe == planned.recipe
    assert pace.plan(recipe, None).recipe.settings == recipe.settings


def test_a_recipe_that_does_not_say_what_it_takes_has_no_budget(recipe):
    object.__setattr__(recipe, "pace", {})
    assert pace.plan(recipe, None) == Planned(recipe)
    with pytest.raises(UsageError, match="cannot be fitted"):
        pace.plan(recipe, 5)


def test_a_figure_of_what_is_no_size_is_refused(recipe):
    recipe.pace["seconds"]["train"]["model"] = 1
    with pytest.raises(UsageError, match="not a size"):
        estimate(recipe, SPEED)


def test_the_time_left_follows_how_long_the_stages_took():
    clock = Pace({"rollout": 10.0, "train": 100.0, "evaluate": 50.0})
    clock.end("rollout", 10.0)
    assert clock.left_s() == 150
    clock.end("train", 200.0)
    assert clock.left_s() == pytest.approx(50 * 210 / 110)
    clock.end("evaluate", 90.0)
    assert clock.left_s() == 0
    assert Pace({}).left_s() is None


def test_the_machine_is_measured():
    pytest.importorskip("torch")
    assert pace.gflops() > 0.1
