"""Which trial is recommended, and what is shown of all."""

import json

import pytest

from agentray.tune.trials import Trial, ordered, recommend, write_plot, write_table


def trial(value=0.5, agent=0.5, after=1.0, name="train.eta", **settings):
    return Trial(0.2, agent, {"count": agent}, 1.0, after, f"model-{value}", {name: value, **settings}, 20)


def test_the_recommended_trial_has_most_agent_ability_among_those_that_kept_general_ability():
    trials = [trial(0.0, 0.1, 1.0), trial(0.5, 0.6, 1.02), trial(1.0, 0.9, 1.4)]
    assert recommend(trials, 0.03)[0] is trials[1]
    assert recommend(trials, 0.5)[0] is trials[2]
    best, why = recommend(trials[1:], 0.01)
    assert best is trials[1] and "no trial kept" in why


def test_of_equal_abilities_the_one_that_forgot_less_is_recommended():
    trials = [trial(0.1, 0.5, 1.02), trial(0.2, 0.5, 0.99), trial(0.3, 0.5, 1.01)]
    assert recommend(trials, 0.03)[0] is trials[1]


def test_without_general_data_ability_alone_decides():
    trials = [trial(0.1, 0.2, None), trial(0.2, 0.9, None)]
    assert recommend(trials, 0.0)[0] is trials[1]


def test_trials_are_ordered_by_value():
    values = [0.5, 10, 0.001, "b", "a"]
    found = [each.settings["train.eta"] for each in ordered([trial(value) for value in values])]
    assert found == [0.001, 0.5, 10, "a", "b"]


def test_the_table_shows_every_setting_and_marks_the_best(tmp_path):
    trials = [trial(0.2, 0.25, 1.0, rate=1e-4), trial(0.8, 0.75, 1.0, rate=1e-3)]
    write_table(trials, trials[1], tmp_path / "table.txt")
    head, first, second = (tmp_path / "table.txt").read_text().splitlines()
    assert head.split() == ["train.eta", "rate", "num_steps", "agent", "general", "before", "after"]
    assert first.split() == ["*", "0.8", "0.001", "20", "0.750", "1.0000", "1.0000"]
    assert second.split() == ["0.2", "0.0001", "20", "0.250", "1.0000", "1.0000"]


def test_one_number_that_varies_is_plotted(tmp_path):
    path = tmp_path / "plot.svg"
    assert write_plot([trial(0.2), trial(0.8)], path)
    assert "over η" in path.read_text()
    assert write_plot([trial(1e-4, name="train.optimizer.learning_rate", eta=0.5)] * 2, path) is False
    rates = [trial(rate, name="train.optimizer.learning_rate", eta=0.5) for rate in (1e-4, 1e-3)]
    assert write_plot(rates, path)
    assert "train.optimizer.learning_rate" in path.read_text()


@pytest.mark.parametrize(
    "trials",
    [
        [trial(0.2, rate=1), trial(0.8, rate=2)],
        [trial("distill", name="train.method.name"), trial("full", name="train.method.name")],
        [trial(True), trial(False)],
    ],
)
def test_anything_else_is_not_plotted(tmp_path, trials):
    assert not write_plot(trials, tmp_path / "plot.svg")
    assert not (tmp_path / "plot.svg").exists()


def test_a_trial_survives_json():
    from dataclasses import asdict

    assert Trial(**json.loads(json.dumps(asdict(trial())))) == trial()
