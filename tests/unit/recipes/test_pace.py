"""What the quickstart expects to take, how a budget cuts it, and what it says while it runs."""

import json

import pytest

from agentray.errors import UsageError
from agentray.recipes import pace
from agentray.recipes.quickstart import QuickstartConfig

SPEED = 860.0


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(pace, "gflops", lambda: SPEED)


def total(config, speed=SPEED):
    return sum(pace.estimate(config, speed, fetched=True).values())


def test_a_slower_machine_and_larger_sizes_take_longer():
    config = QuickstartConfig()
    assert total(config, SPEED / 2) == pytest.approx(2 * total(config))
    for name in ("num_steps", "num_test", "num_general"):
        assert total(config.model_copy(update={name: 2 * getattr(config, name)})) > total(config)
    assert total(config.model_copy(update={"num_alfworld": 0})) < total(config)


def test_the_download_is_expected_only_where_the_weights_are_absent():
    config = QuickstartConfig()
    here, absent = (pace.estimate(config, SPEED, fetched=fetched)["weights"] for fetched in (True, False))
    assert here == 0 < absent


@pytest.mark.parametrize("share", [0.6, 0.8, 1.5])
def test_a_budget_cuts_steps_tests_and_answers_alike(share):
    full = QuickstartConfig()
    minutes = share * total(full) / 60
    taken = pace.fitted(full.model_copy(update={"minutes": minutes}), SPEED, fetched=True)
    assert total(taken) <= 60 * minutes
    shares = [getattr(taken, name) / getattr(full, name) for name in ("num_steps", "num_test")]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)
    assert (shares == [1, 1]) == (share >= 1)
    assert taken.num_database == full.num_database


def test_a_budget_that_is_too_small_is_refused_with_the_least_one():
    config = QuickstartConfig(minutes=0.5)
    with pytest.raises(UsageError, match="too few") as refused:
        pace.fitted(config, SPEED, fetched=True)
    least = float(refused.value.fix.removeprefix("--minutes "))
    assert pace.fitted(config.model_copy(update={"minutes": least}), SPEED, fetched=True).num_steps >= 8


def test_small_sizes_are_never_raised_to_fit():
    config = QuickstartConfig(num_steps=2, num_test=4, num_general=20, minutes=60)
    taken = pace.fitted(config, SPEED, fetched=True)
    assert (taken.num_steps, taken.num_test, taken.num_general) == (2, 4, 20)


def test_the_plan_says_what_was_cut_and_an_interrupted_run_keeps_it(tmp_path, measured, monkeypatch):
    full = QuickstartConfig(out=tmp_path, minutes=0.7 * total(QuickstartConfig()) / 60)
    taken, planned = pace.plan(full)
    assert planned["cut"]["num_steps"] == {"full": full.num_steps, "taken": taken.num_steps}
    assert f"num_steps {taken.num_steps} instead of {full.num_steps}" in pace.announcement(planned)
    (tmp_path / pace.PLAN).write_text(json.dumps(planned))
    monkeypatch.setattr(pace, "gflops", lambda: SPEED / 1.2)
    assert pace.plan(full)[0] == taken
    assert pace.plan(full.model_copy(update={"minutes": None}))[0].num_steps == full.num_steps


def test_a_stage_ends_in_one_line_with_the_time_left():
    clock = pace.Pace({"rollout": 10.0, "train": 100.0, "evaluate tuned": 50.0})
    assert "150 s" not in clock.end("rollout", "alfworld 3", 10.0)
    line = clock.end("train", "steps 30", 200.0)
    assert line.startswith("train")
    assert "3 min 20 s" in line
    assert clock.left_s() == pytest.approx(50 * 210 / 110)
    assert clock.end("evaluate tuned", "", 90.0).endswith("done")
    assert "\n" not in line


def test_counts_are_shown_without_their_tables():
    assert pace.shown({"steps": 30, "tokens_per_s": 512.34, "rejected": {}}) == "steps 30, tokens_per_s 512"


def test_the_machine_is_measured():
    pytest.importorskip("torch")
    assert pace.gflops() > 0.1
