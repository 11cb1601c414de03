import json
from dataclasses import asdict

import pytest

from agentray import manifest
from agentray.config import EvaluateConfig, TasksConfig
from agentray.errors import UsageError
from agentray.evaluate.outcomes import read_outcomes
from agentray.evaluate.run import run
from agentray.evaluate.score import read_scores
from agentray.rollout.tasks import run as write


def evaluate(out, **settings):
    return run(EvaluateConfig(envs=["count"], out=out, num_workers=0, **{"num_tasks": 5, **settings}))


def test_attempts_of_a_larger_evaluation_in_the_same_directory_are_not_scored(tmp_path):
    sizes = [evaluate(tmp_path, num_tasks=number).scores["count"].n for number in (30, 10)]
    assert sizes == [30, 10] and len(read_outcomes(tmp_path).attempts) == 10
    assert evaluate(tmp_path, num_tasks=30).scores["count"].n == 30


def test_an_evaluation_writes_its_scores_and_signs_with_its_own_name(tmp_path):
    summary = evaluate(tmp_path, env={"count": {"max_turns": 30}})
    document = manifest.read(tmp_path)
    assert document.stage == "evaluate" and document.config["env"] == {"count": {"max_turns": 30}}
    assert document.counts["scores"]["count"] == json.loads(json.dumps(asdict(summary.scores["count"])))
    assert document.counts["planned"] == document.counts["completed"] == 5
    assert document.counts["environments"]["count"]["settings"]["max_turns"] == 30
    found = read_scores(tmp_path)
    assert found.policies["expert"]["count"].mean == summary.scores["count"].mean == 1.0
    assert found.settings == {"count": {"max_turns": 30}}


def test_an_evaluation_that_is_repeated_goes_on_in_its_directory_and_another_is_refused(tmp_path):
    first = evaluate(tmp_path)
    again = evaluate(tmp_path)
    assert again.scores == first.scores and again.num_turns == 0
    with pytest.raises(UsageError, match="another run"):
        evaluate(tmp_path, policy="random")
    assert manifest.read(tmp_path).stage == "evaluate"


def test_a_tasks_file_is_an_input(tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    write(TasksConfig(envs=["count"], out=tasks, split="test", num_tasks=2))
    summary = run(EvaluateConfig(tasks=tasks, out=tmp_path / "out", num_workers=0))
    assert summary.scores["count"].n == 2
    assert manifest.read(tmp_path / "out").inputs == {str(tasks): manifest.digest(tasks)}


def test_an_evaluation_without_a_directory_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert evaluate(None).out is None
    assert list(tmp_path.iterdir()) == []
