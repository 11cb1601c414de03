"""`overall`, `errors` and `rescore` as a user types them."""

import json
from dataclasses import replace

import pytest
from fakes import stored_run, trajectory

from agentray.cli import main
from agentray.config import RolloutConfig
from agentray.rollout.run import run as rollout


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@pytest.fixture
def played(tmp_path):
    """The expert's and a random policy's attempts at the same games."""
    for policy in ("random", "expert"):
        out = tmp_path / policy
        rollout(RolloutConfig(envs=["count"], policy=policy, num_tasks=6, num_workers=0, out=out))
    return tmp_path / "random", tmp_path / "expert"


def test_the_published_table_is_recomputed_beside_the_printed_one(capsys):
    code, out, _ = call(capsys, "overall", "--published", "--json")
    table = json.loads(out)["published"]
    assert code == 0 and table["baselines"] == "agenttuning-table-1" and len(table["models"]) == 8
    cells = [cell for groups in table["models"].values() for cell in groups.values()]
    assert len(cells) == 24
    assert all(f"{cell['recomputed']:.2f}" == f"{cell['published']:.2f}" for cell in cells)
    code, out, _ = call(capsys, "overall", "--published", "--model", "AgentLM-7B")
    assert code == 0 and "1.9573 (1.96)" in out and "held-in (in-distribution)" in out
    assert "GPT-4" not in out


def test_an_overall_over_synthetic_questions_says_so(capsys, tmp_path):
    entry = {"n": 10, "synthetic": True}
    scores = {"mmlu": 64.16, "humaneval": 35.64, "gsm8k": 52.82, "mtbench": 7.338}
    tasks = {name: {**entry, "score": score} for name, score in scores.items()}
    (tmp_path / "suite.json").write_text(json.dumps({"suite": "general", "policy": "p", "tasks": tasks}))
    code, out, _ = call(capsys, "overall", tmp_path)
    assert code == 0 and "synthetic" in out and "not comparable, general: mmlu" in out
    code, out, _ = call(capsys, "overall", tmp_path, "--json")
    group = json.loads(out)["measured"]["policies"]["p"]["general"]
    assert group["overall"] == pytest.approx(1.0) and group["comparable"] is False


def test_an_evaluation_prints_scores_and_which_categories_have_few_attempts(capsys, tmp_path):
    arguments = ["evaluate", "--env", "database", "--env", "count", "--num-tasks", "12", "--out", tmp_path]
    code, out, _ = call(capsys, *arguments, "--set", "evaluate.num_workers=0")
    assert code == 0 and "expert on the test split" in out and "held-in" in out
    assert "database: select_accuracy 1, " in out and "database: few attempts in " in out
    assert "count: " not in out and f"out {tmp_path}" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["overall"], "no evaluation run is given"),
        (["overall", "--published", "--model", "AgentLM"], "did you mean 'AgentLM-7B'"),
        (["overall", "absent"], "it does not exist"),
        (["errors", "absent"], "it does not exist"),
        (["errors"], "the command line is wrong"),
        (["rescore", "absent", "--out", "x"], "it does not exist"),
        (["rescore", "absent"], "it has no default"),
    ],
)
def test_a_wrong_call_is_refused_in_three_lines(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "") and said in err and "fix:" in err
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_no_task_in_the_table_is_refused(capsys, tmp_path):
    run = stored_run(tmp_path / "run", [trajectory()])
    code, _, err = call(capsys, "overall", run, "--partial")
    assert code == 2 and "count" in err and "alfworld" in err


def test_errors_are_counted_before_and_after(capsys, played):
    code, out, _ = call(capsys, "errors", *played, "--examples", "1", "--json")
    document = json.loads(out)
    before, after = (document["runs"][name]["count"]["reasoning_error"] for name in ("before", "after"))
    assert code == 0 and (before["count"], before["of"], before["share"]) == (6, 6, 1.0)
    assert len(before["keys"]) == 1 and (after["count"], after["keys"]) == (0, [])
    assert document["types"]["count"]["infrastructure_failure"]["rule"]
    code, out, _ = call(capsys, "errors", *played, "--examples", "2")
    assert code == 0 and "6 (100.0 %)" in out and "before 6 scored of 6 attempts" in out
    assert out.count("reasoning_error before: count:") == 2


def test_errors_of_one_run_have_one_column(capsys, played):
    code, out, _ = call(capsys, "errors", played[1])
    assert code == 0 and "0 (0.0 %)" in out and "after" not in out


def test_a_rescore_prints_counts_that_add_up(capsys, played, tmp_path):
    arguments = ["rescore", played[1], "--out", tmp_path / "out", "--set", "env.count.max_turns=2"]
    code, out, _ = call(capsys, *arguments, "--dry-run")
    assert code == 0 and json.loads(out)["settings"]["env"] == {"count": {"max_turns": 2}}
    assert not (tmp_path / "out").exists()
    code, out, _ = call(capsys, *arguments, "--json")
    counts = json.loads(out)
    assert code == 0 and counts["changed"] > 0
    assert counts["read"] == counts["unchanged"] + counts["changed"] + sum(counts["refused"].values()) == 6
    code, out, _ = call(capsys, "errors", tmp_path / "out")
    assert code == 0 and "Turn limit" in out


def test_errors_are_counted_where_the_file_of_tasks_has_gone(capsys, tmp_path):
    made = trajectory(0)
    attempt = replace(made, task=replace(made.task, env="database"))
    run = stored_run(tmp_path / "run", [attempt], {"database": {"data": "gone.jsonl"}})
    code, out, _ = call(capsys, "errors", run, "--json")
    assert code == 0 and json.loads(out)["runs"]
