import json
from dataclasses import replace

import pytest
from fakes import trajectory

from agentray import manifest
from agentray.config import ReportConfig
from agentray.data.journal import entries
from agentray.data.store import RunStore
from agentray.errors import DataError
from agentray.evaluate.compare import compare, run
from agentray.evaluate.run import score


def attempts(rewards, **changes):
    made = [trajectory(index, reward=reward, **changes) for index, reward in enumerate(rewards)]
    return [replace(each, status="failed") if each.reward is None else each for each in made]


def test_failures_of_the_machinery_are_counted_apart():
    found = score(attempts([1.0, 0.0, None, 1.0]))["count"]
    assert (found.mean, found.mean_failed_as_zero, found.n, found.failed) == (2 / 3, 0.5, 3, 1)
    with pytest.raises(DataError, match="could be scored"):
        score(attempts([None, None]))


def test_only_attempts_that_both_were_scored_on_are_compared():
    before = attempts([0.0, 0.0, 0.0, None], policy="base")
    after = attempts([1.0, 1.0, None, 1.0], policy="tuned")
    row = compare(before, after, {"count": {"max_turns": 4}})["count"]
    assert row["settings"] == {"max_turns": 4}
    assert (row["before"], row["after"], row["n"], row["test"]) == (0.0, 1.0, 2, "exact McNemar")
    assert row["p_value"] == pytest.approx(0.5)


def test_graded_rewards_are_compared_by_permutation():
    row = compare(attempts([0.1, 0.2, 0.3]), attempts([0.4, 0.9, 0.8]))["count"]
    assert row["test"] == "paired permutation"
    assert row["p_value"] == pytest.approx(0.25)


def test_a_row_says_what_difference_it_could_have_shown():
    few = compare(attempts([0.0] * 4), attempts([1.0] * 4))["count"]
    assert few["detectable"] is None and few["difference_interval"] == [1.0, 1.0]
    many = compare(attempts([0.0, 1.0] * 20), attempts([1.0, 1.0] * 20))["count"]
    assert 0.1 < many["detectable"] < 0.5
    assert 0.2 < many["difference_interval"][0] < 0.5 < many["difference_interval"][1] < 0.8


def test_evaluations_of_other_tasks_are_refused():
    with pytest.raises(DataError, match="no scored attempt in common"):
        compare([trajectory(0)], [trajectory(1)])


def stored(directory, made):
    with RunStore(directory) as store:
        for each in made:
            store.commit(entries(each))
    manifest.write(directory, manifest.Manifest("rollout", {}, {}, wall_s=1.5))
    return directory


def test_the_report_is_written_from_two_runs(tmp_path):
    before = stored(tmp_path / "a", attempts([0.0, 0.0], policy="base"))
    after = stored(tmp_path / "b", attempts([1.0, 0.0], policy="tuned"))
    done = run(ReportConfig(before=before, after=after, out=tmp_path / "report"))
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["scores"]["count"]["after"] == 0.5
    assert [stage["name"] for stage in report["stages"]] == ["evaluate before", "evaluate after"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert done.html.endswith("report.html") and "train/0: won in 2 turns" in page
