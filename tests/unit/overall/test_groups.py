"""Overall of our own models, from stored evaluations and a general suite's results."""

import json
from dataclasses import replace

import pytest
from fakes import stored_run, trajectory

from agentray import manifest
from agentray.data.store import write_shard
from agentray.errors import DataError, UsageError
from agentray.overall.baselines import load
from agentray.overall.groups import measure

GENERAL = {"mmlu": 32.08, "humaneval": 17.82, "gsm8k": 26.41, "mtbench": 3.669}
"""Half of the baselines' means."""


def suite(directory, scores=GENERAL, policy="tuned", **more):
    directory.mkdir(parents=True, exist_ok=True)
    tasks = {name: {"score": score, "n": 100, "synthetic": True, **more} for name, score in scores.items()}
    document = {"suite": "general", "policy": policy, "tasks": tasks}
    (directory / "suite.json").write_text(json.dumps(document))
    return directory


def attempts(env, outcomes, kind="select", policy="tuned", split="test", first=0):
    """Attempts with these rewards; None is an infrastructure failure after the first observation."""
    made = []
    for index, reward in enumerate(outcomes, first):
        each = trajectory(
            reward=reward,
            policy=policy,
            status="failed" if reward is None else "completed",
            metrics={f"success_{kind}": reward or 0.0},
        )
        task = replace(each.task, env=env, id=f"{split}/{index}", split=split, fingerprint=f"{index:016x}")
        made.append(replace(each, task=task))
    return made


def test_a_complete_group_gets_its_overall_and_says_why_it_is_not_comparable(tmp_path):
    found = measure([suite(tmp_path / "general")], load())
    group = found.policies["tuned"]["general"]
    assert group.overall == pytest.approx(0.5) and group.failed_as_zero == pytest.approx(0.5)
    assert not group.comparable and group.missing == ()
    assert any("synthetic tasks, not MMLU's own" in note for note in group.notes)
    assert found.baselines == "agenttuning-table-1"
    assert list(found.policies["tuned"]) == ["general"]


def test_the_benchmarks_own_tasks_in_full_are_comparable_but_for_a_judges_ratings(tmp_path):
    directory = suite(tmp_path, synthetic=False)
    document = json.loads((directory / "suite.json").read_text())
    for name, entry in document["tasks"].items():
        entry["n"] = load().tasks[name].size
    (directory / "suite.json").write_text(json.dumps(document))
    judged = "mtbench: rated with agentray's own prompts, by a judge of your choice"
    group = measure([directory], load()).policies["tuned"]["general"]
    assert group.notes == (judged,) and not group.comparable
    document["tasks"]["gsm8k"]["n"] = 100
    document["tasks"]["mtbench"]["unjudged"] = 70
    (directory / "suite.json").write_text(json.dumps(document))
    group = measure([directory], load()).policies["tuned"]["general"]
    assert set(group.notes) == {
        "gsm8k: 100 tasks, GSM8K has 1,319",
        judged,
        "mtbench: 70 answers that no judge rated",
    }


def test_a_whole_group_on_the_benchmarks_own_tasks_is_comparable(tmp_path):
    table = load()
    tasks = {
        name: {"score": table.mean(name), "n": table.tasks[name].size or 1, "synthetic": False}
        for name in table.group("held_out")
    }
    document = {"suite": "ours", "policy": "tuned", "tasks": tasks}
    (tmp_path / "suite.json").write_text(json.dumps(document))
    group = measure([tmp_path], table).policies["tuned"]["held_out"]
    assert group.overall == pytest.approx(1.0) and group.comparable


def test_lost_items_count_as_zero_in_the_second_figure_only(tmp_path):
    group = measure([suite(tmp_path, failed=100)], load()).policies["tuned"]["general"]
    assert (group.overall, group.failed_as_zero) == (pytest.approx(0.5), pytest.approx(0.25))


def test_runs_are_read_in_percent_and_in_the_benchmarks_own_metric(tmp_path):
    database = [
        *attempts("database", [1.0, 1.0, 1.0, 1.0], "select"),
        *attempts("database", [0.0, None], "insert", first=10),
        *attempts("database", [1.0, 0.0], "update", first=20),
    ]
    household = attempts("alfworld", [1.0, 0.0, None, 0.0], "pick_and_place_simple")
    runs = [
        stored_run(tmp_path / "database", database),
        stored_run(tmp_path / "household", household, {"alfworld": {"show_admissible": True}}),
    ]
    group = measure(runs, load(), partial=True).policies["tuned"]["held_in"]
    scores = {name: task.measured for name, task in group.tasks.items()}
    assert scores["db"].score == pytest.approx(50.0)  # mean of 100 %, 0 % and 50 %, not of the rewards
    assert scores["alfworld"].score == pytest.approx(100 / 3)
    assert scores["alfworld"].failed_as_zero == pytest.approx(25.0)
    assert (scores["db"].n, scores["db"].failed, scores["db"].synthetic) == (7, 1, True)
    assert group.overall == pytest.approx((50 / 11.92 + 100 / 3 / 20.4) / 2)
    assert group.title == "held-in (in-distribution)"
    assert group.notes[0] == "partial, over these tasks alone: no score of webshop, mind2web, kg, os"


def test_an_attempt_lost_before_it_told_its_category_leaves_the_second_figure_unknown(tmp_path):
    made = [*attempts("database", [1.0, 0.0]), *attempts("database", [None], first=5)]
    made[-1] = replace(made[-1], metrics={})
    group = measure([stored_run(tmp_path / "run", made)], load(), partial=True).policies["tuned"]["held_in"]
    assert group.tasks["db"].measured.failed_as_zero is None
    assert (group.overall, group.failed_as_zero) == (pytest.approx(50 / 11.92), None)


def test_a_run_on_the_benchmarks_files_is_not_synthetic(tmp_path):
    made = attempts("alfworld", [1.0], split="train")
    run = stored_run(tmp_path / "run", made, {"alfworld": {"data": "json_2.1.1"}})
    score = measure([run], load(), partial=True).policies["tuned"]["held_in"].tasks["alfworld"].measured
    assert not score.synthetic
    assert score.notes == ("1 tasks, ALFWorld has 50", "tasks of the train split")


def test_a_group_that_lacks_tasks_is_refused_beside_one_that_does_not(tmp_path):
    run = stored_run(tmp_path / "run", attempts("alfworld", [1.0, 0.0]))
    groups = measure([run, suite(tmp_path / "general")], load()).policies["tuned"]
    assert groups["held_in"].overall is None and groups["general"].overall == pytest.approx(0.5)
    assert groups["held_in"].notes[0].startswith("refused: no score of webshop")
    with pytest.raises(DataError) as caught:
        measure([run], load())
    assert "held_in of 'tuned' lacks webshop, mind2web, kg, os, db" in caught.value.why


def test_policies_stand_apart(tmp_path):
    run = stored_run(
        tmp_path / "run",
        attempts("alfworld", [0.0], policy="base") + attempts("alfworld", [1.0], policy="tuned"),
    )
    found = measure([run], load(), partial=True).policies
    assert found["base"]["held_in"].overall == 0.0
    assert found["tuned"]["held_in"].overall == pytest.approx(100 / 20.4)


def test_two_scores_of_one_task_are_refused(tmp_path):
    runs = [stored_run(tmp_path / name, attempts("alfworld", [1.0])) for name in ("a", "b")]
    with pytest.raises(UsageError, match="two scores of 'alfworld'"):
        measure(runs, load(), partial=True)


def test_a_run_of_no_task_in_the_table_is_refused_and_one_beside_others_is_named(tmp_path):
    counting = stored_run(tmp_path / "count", [trajectory()])
    with pytest.raises(UsageError) as caught:
        measure([counting], load(), partial=True)
    assert "count" in caught.value.why and "alfworld" in caught.value.why
    found = measure([counting, suite(tmp_path / "general", {**GENERAL, "arc": 3.0})], load())
    assert found.left_out == (f"{counting}: count", f"{tmp_path / 'general'}: arc")


def test_a_run_without_a_scored_attempt_or_any_attempt_is_refused(tmp_path):
    with pytest.raises(DataError, match="could be scored"):
        measure([stored_run(tmp_path / "lost", attempts("alfworld", [None]))], load(), partial=True)
    with pytest.raises(DataError, match="holds no attempt"):
        measure([stored_run(tmp_path / "empty", [])], load(), partial=True)


def test_a_run_that_is_not_complete_or_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no directory"):
        measure([tmp_path / "absent"], load())
    run = stored_run(tmp_path / "run", attempts("alfworld", [1.0]))
    (run / "shard-000001.parquet").write_bytes(b"no shard")
    with pytest.raises(DataError, match="shard-000001"):
        measure([run], load(), partial=True)
    # What an earlier start set aside was made again.
    (run / "shard-000001.parquet").rename(run / "shard-000001.parquet.corrupt")
    assert measure([run], load(), partial=True).policies["tuned"]
    (run / manifest.NAME).unlink()
    with pytest.raises(UsageError, match="is not complete"):
        measure([run], load(), partial=True)


def nonsense():
    good = {"score": 25.0, "n": 100}
    return {
        "Invalid JSON": "{",
        "Input should be an object": [],
        "tasks: Dictionary should have at least 1 item": {"policy": "p", "tasks": {}},
        "policy: Field required": {"tasks": {"mmlu": good}},
        "tasks.mmlu: Input should be": {"policy": "p", "tasks": {"mmlu": 25.0}},
        "101 over 100 questions; a score is from 0 to 100": {
            "policy": "p",
            "tasks": {"mmlu": {**good, "score": 101.0}},
        },
        "0.5 over 100 questions; a score is from 1 to 10": {
            "policy": "p",
            "tasks": {"mtbench": {**good, "score": 0.5}},
        },
        "tasks.mmlu.score: Input should be a valid number": {
            "policy": "p",
            "tasks": {"mmlu": {**good, "score": True}},
        },
        "tasks.mmlu.score: Input should be a finite number": (
            '{"policy": "p", "tasks": {"mmlu": {"score": NaN, "n": 3}}}'
        ),
        "25 over 0 questions": {"policy": "p", "tasks": {"mmlu": {**good, "n": 0}}},
        "tasks.mmlu.failed: Input should be greater": {
            "policy": "p",
            "tasks": {"mmlu": {**good, "failed": -1}},
        },
    }


@pytest.mark.parametrize("why", nonsense())
def test_a_suite_that_makes_no_sense_is_refused_with_its_fault(tmp_path, why):
    document = nonsense()[why]
    text = document if isinstance(document, str) else json.dumps(document)
    (tmp_path / "suite.json").write_text(text)
    with pytest.raises(DataError) as caught:
        measure([tmp_path], load(), partial=True)
    assert why in caught.value.why and "suite.json" in caught.value.what


def test_a_suite_task_that_was_not_scored_is_missing(tmp_path):
    directory = suite(tmp_path, {**GENERAL, "mmlu": None})
    with pytest.raises(DataError) as caught:
        measure([directory], load())
    assert "lacks mmlu" in caught.value.why


def test_a_suite_of_which_nothing_was_scored_is_refused(tmp_path):
    with pytest.raises(UsageError) as caught:
        measure([suite(tmp_path, dict.fromkeys(GENERAL))], load())
    assert caught.value.why.startswith("nothing in them was scored")


def test_a_suite_says_itself_whether_its_questions_are_synthetic(tmp_path):
    for entry, synthetic in (({}, False), ({"synthetic": True}, True), ({"stand_in": True}, True)):
        tasks = {"mmlu": {"score": 25.0, "n": 14042, **entry}}
        (tmp_path / "suite.json").write_text(json.dumps({"policy": "p", "tasks": tasks}))
        task = measure([tmp_path], load(), partial=True).policies["p"]["general"].tasks["mmlu"].measured
        assert task.synthetic is synthetic and len(task.notes) == synthetic


def test_an_environment_that_generates_nothing_plays_the_benchmarks_own_tasks(tmp_path):
    table = load()
    task = replace(table.tasks["webshop"], environment="count", size=1)
    run = stored_run(tmp_path / "run", attempts("count", [1.0]))
    found = measure([run], replace(table, tasks={**table.tasks, "webshop": task}), partial=True)
    score = found.policies["tuned"]["held_in"].tasks["webshop"].measured
    assert not score.synthetic and score.notes == ()


def test_several_shards_are_one_run(tmp_path):
    run = stored_run(tmp_path / "run", attempts("alfworld", [1.0]))
    write_shard(run / "shard-000001.parquet", attempts("alfworld", [0.0], first=1))
    score = measure([run], load(), partial=True).policies["tuned"]["held_in"].tasks["alfworld"]
    assert (score.measured.n, score.measured.score) == (2, 50.0)
