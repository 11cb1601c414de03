"""Scores, computed from attempts and read from `scores.json`."""

import json
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from fakes import stored_run, trajectory

from agentray import manifest
from agentray.data.journal import entries
from agentray.data.store import RunStore, write_shard
from agentray.env.count import Count
from agentray.errors import DataError, UsageError
from agentray.evaluate.outcomes import outcome, read_outcomes
from agentray.evaluate.score import read_scores, score, write_scores


def attempts(rewards, **changes):
    made = [trajectory(index, reward=reward, **changes) for index, reward in enumerate(rewards)]
    return [replace(each, status="failed") if each.reward is None else each for each in made]


def of(trajectories):
    return score(map(outcome, trajectories))["count"]


def test_infrastructure_failures_are_counted_apart():
    found = of(attempts([1.0, 0.0, None, 1.0]))
    assert (found.mean, found.mean_failed_as_zero, found.n, found.failed) == (2 / 3, 0.5, 3, 1)
    with pytest.raises(DataError, match="could be scored"):
        of(attempts([None, None]))


def test_the_benchmarks_aggregates_are_given_with_failures_as_zero_where_these_tell_their_part():
    class Rated(Count):
        def summarize(self, metrics):
            return {"rate": sum(each["success_count"] for each in metrics) / len(metrics)}

    lost = trajectory(1, reward=None, status="failed")
    found = score(map(outcome, [trajectory(0), lost]), {"count": Rated()})["count"]
    assert (found.extra, found.extra_failed_as_zero) == ({"rate": 1.0}, {"rate": 0.5})
    untold = replace(lost, metrics={})
    assert (
        score(map(outcome, [trajectory(0), untold]), {"count": Rated()})["count"].extra_failed_as_zero is None
    )


def test_tasks_and_splits_are_counted():
    made = [trajectory(0), trajectory(0, sample=1), trajectory(1)]
    found = of(made)
    assert (found.n, found.tasks, found.splits) == (3, 2, ["train"])
    assert (found.n_by_category, found.few) == ({"count": 3}, ["count"])


def test_several_samples_of_a_task_make_the_interval_no_narrower():
    made = [each for sample in range(8) for each in attempts([0.0, 0.0, 1.0], sample=sample)]
    assert of(made).interval == of(made[:3]).interval


def test_outcomes_of_a_run_are_those_of_its_trajectories(tmp_path):
    made = attempts([1.0, 0.5, None], metrics={"success_count": 1.0})
    with RunStore(tmp_path) as store:
        for each in made:
            store.commit(entries(each))
    with pytest.raises(UsageError, match="not complete"):
        read_outcomes(tmp_path)
    manifest.write(tmp_path, manifest.Manifest("rollout", {"env": {"count": {"max_turns": 9}}}, {}))
    found = read_outcomes(tmp_path)
    assert list(found.attempts) == list(map(outcome, made))
    assert found.environments()["count"].max_turns == 9


def test_a_failed_attempt_gives_way_to_a_later_one(tmp_path):
    run = stored_run(tmp_path / "run", attempts([None, 1.0]))
    write_shard(run / "shard-000001.parquet", [trajectory(0, reward=0.5), trajectory(1, reward=0.0)])
    assert sorted(each.reward for each in read_outcomes(run).attempts) == [0.5, 1.0]


def test_conversations_are_not_read(tmp_path):
    run = stored_run(tmp_path / "run", attempts([1.0]))
    shard = run / "shard-000000.parquet"
    table = pq.read_table(shard)
    pq.write_table(table.drop_columns(["turns", "prompt", "task_data"]), shard)
    assert read_scores(run).policies["expert"]["count"].mean == 1.0


def evaluated(directory, **scores):
    run = stored_run(directory, attempts([1.0]))
    manifest.write(run, manifest.Manifest("evaluate", {"env": {"count": {"max_turns": 4}}}, {}))
    write_scores(run, "tuned", scores)
    return run


def test_the_scores_of_an_evaluation_are_read_as_they_were_written(tmp_path):
    written = replace(of(attempts([1.0, 0.0])), mean=0.123)
    found = read_scores(evaluated(tmp_path / "run", count=written))
    assert found.policies == {"tuned": {"count": replace(written, splits=["train"])}}
    assert found.settings == {"count": {"max_turns": 4}}


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"policy": "p"}', '{"policy": "p", "scores": {"count": {}}}']
)
def test_scores_that_cannot_be_read_are_an_error(tmp_path, content):
    run = evaluated(tmp_path / "run")
    (run / "scores.json").write_text(content)
    with pytest.raises(DataError, match=r"scores\.json"):
        read_scores(run)


def test_scores_of_a_rollout_are_computed_by_policy(tmp_path):
    made = [*attempts([0.0], policy="base"), *attempts([1.0], policy="tuned")]
    found = read_scores(stored_run(tmp_path / "run", made)).policies
    assert {policy: scores["count"].mean for policy, scores in found.items()} == {"base": 0.0, "tuned": 1.0}


def test_a_file_that_is_not_a_shard_is_named(tmp_path):
    run = stored_run(tmp_path / "run", attempts([1.0]))
    (run / "shard-000001.parquet").write_bytes(b"no shard")
    with pytest.raises(DataError, match="shard-000001"):
        read_outcomes(run)
    (run / "shard-000001.parquet").rename(run / "shard-000001.parquet.corrupt")
    assert len(read_outcomes(run).attempts) == 1


def test_scores_are_plain_json(tmp_path):
    run = evaluated(tmp_path / "run", count=of(attempts([1.0])))
    document = json.loads((run / "scores.json").read_text())
    assert document["scores"]["count"]["interval"][1] == 1.0
