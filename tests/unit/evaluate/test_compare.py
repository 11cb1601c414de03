"""Two policies on the same attempts."""

from dataclasses import replace
from pathlib import Path

import pytest
from fakes import trajectory

from agentray.errors import DataError
from agentray.evaluate.compare import compare, not_compared
from agentray.evaluate.outcomes import Outcomes, outcome


def attempts(rewards, **changes):
    made = [trajectory(index, reward=reward, **changes) for index, reward in enumerate(rewards)]
    return run([replace(each, status="failed") if each.reward is None else each for each in made])


def run(trajectories, **settings):
    return Outcomes(Path("run"), [outcome(each) for each in trajectories], settings)


def test_only_attempts_that_both_were_scored_on_are_compared():
    before = attempts([0.0, 0.0, 0.0, None], policy="base")
    after = attempts([1.0, 1.0, None, 1.0], policy="tuned")
    row = compare(replace(before, settings={"count": {"max_turns": 4}}), after)["count"]
    assert row.settings == {"max_turns": 4}
    assert (row.before, row.after, row.n, row.test) == (0.0, 1.0, 2, "exact McNemar")
    assert row.p_value == pytest.approx(0.5)


def test_graded_rewards_are_compared_by_permutation():
    row = compare(attempts([0.1, 0.2, 0.3]), attempts([0.4, 0.9, 0.8]))["count"]
    assert row.test == "paired permutation"
    assert row.p_value == pytest.approx(0.25)


def test_a_row_says_what_difference_it_could_have_shown():
    few = compare(attempts([0.0] * 4), attempts([1.0] * 4))["count"]
    assert few.detectable is None and few.difference_interval == (1.0, 1.0)
    many = compare(attempts([0.0, 1.0] * 20), attempts([1.0, 1.0] * 20))["count"]
    assert 0.1 < many.detectable < 0.5
    assert 0.2 < many.difference_interval[0] < 0.5 < many.difference_interval[1] < 0.8


def test_several_samples_of_a_task_count_once():
    def samples(rewards, num_samples):
        made = [
            trajectory(index, reward=reward, sample=sample)
            for sample in range(num_samples)
            for index, reward in enumerate(rewards)
        ]
        return run(made)

    row = compare(samples([0.0, 0.0, 1.0], 8), samples([1.0, 1.0, 1.0], 8))["count"]
    single = compare(samples([0.0, 0.0, 1.0], 1), samples([1.0, 1.0, 1.0], 1))["count"]
    assert (row.n, row.tasks) == (24, 3)
    for name in ("p_value", "before_interval", "after_interval", "difference_interval", "detectable", "test"):
        assert getattr(row, name) == getattr(single, name)
    # One success in two is one graded score, not two wins and losses.
    mixed = compare(run([trajectory(reward=0.0), trajectory(sample=1)]), samples([1.0], 2))["count"]
    assert (mixed.before, mixed.test) == (0.5, "paired permutation")


def test_evaluations_of_other_tasks_are_refused():
    with pytest.raises(DataError, match="no scored attempt in common"):
        compare(run([trajectory(0)]), run([trajectory(1)]))


def test_an_attempt_of_changed_content_is_not_compared():
    first = trajectory(0)
    changed = replace(first, task=replace(first.task, fingerprint="other"))
    before = attempts([1.0, 1.0]).attempts
    assert not_compared(before, [outcome(changed), before[1]]) == {"count": {"before": 1, "after": 1}}
    assert not_compared(before, before) == {}
