"""The report stage: from stored runs to `report.json` and the page."""

import json
import re
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fakes import stored_run as stored
from fakes import trajectory

from agentray import manifest
from agentray.config import ReportConfig
from agentray.errors import DataError, UsageError
from agentray.report.archive import unpack
from agentray.report.run import run


def attempts(rewards, **changes):
    made = [trajectory(index, reward=reward, **changes) for index, reward in enumerate(rewards)]
    return [replace(each, status="failed") if each.reward is None else each for each in made]


def report(directory, *runs, **settings):
    done = run(ReportConfig(runs=list(runs), out=directory, **settings))
    return done, json.loads((directory / "report.json").read_text()), (directory / "report.html").read_text()


def test_the_report_is_written_from_two_runs(tmp_path):
    before = stored(tmp_path / "a", attempts([0.0, 0.0], policy="base"))
    after = stored(tmp_path / "b", attempts([1.0, 0.0], policy="tuned"))
    done, document, page = report(tmp_path / "report", before, after)
    assert (document["scores"]["count"]["before"], document["scores"]["count"]["after"]) == (0.0, 0.5)
    assert [stage["name"] for stage in document["stages"]] == ["evaluate a", "evaluate b"]
    assert [each["attempts"] for each in document["runs"]] == [2, 2]
    assert document["left_out"] == {} and {"versions", "commit", "errors"} <= document.keys()
    assert done.html.endswith("report.html") and done.trajectories == 4
    assert "From 0% to 50% on count" in page
    index = unpack(re.search(r'id="block-index">(.*?)<', page).group(1))
    assert index["columns"]["outcome"] == ["lost", "won", "lost", "lost"]


def test_runs_of_other_tasks_are_compared_on_what_both_scored(tmp_path):
    before = stored(tmp_path / "base", [trajectory(index, reward=0.0) for index in range(4)])
    after = stored(tmp_path / "tuned", [trajectory(index, reward=1.0) for index in range(3, 6)])
    _, document, page = report(tmp_path / "report", before, after)
    assert document["scores"]["count"]["n"] == 1
    assert document["left_out"] == {"tuned": {"count": {"before": 3, "after": 2}}}
    assert "Not compared: count: 3 of base, 2 of tuned." in page


def test_one_run_is_shown_without_a_comparison(tmp_path):
    only = stored(tmp_path / "rollout", attempts([1.0, 0.0, None]))
    _, document, page = report(tmp_path / "report", only)
    row = document["scores"]["count"]
    assert (row["score"], row["n"], row["failed"]) == (0.5, 2, 1) and "before" not in row
    assert "50% on count" in page and "p compares" not in page


def test_further_runs_stand_beside_the_base(tmp_path):
    runs = [
        stored(tmp_path / name, attempts([reward])) for name, reward in (("a", 0.0), ("b", 1.0), ("c", 1.0))
    ]
    _, document, page = report(tmp_path / "report", *runs)
    assert document["scores"]["count"]["after"] == 1.0
    assert set(document["further"]) == {"c"} and document["further"]["c"]["count"]["n"] == 1
    assert "a and c" in page


def test_errors_are_counted_by_environment_and_run(tmp_path):
    turns = tuple(replace(turn, action=None) for turn in trajectory().turns)
    before = stored(tmp_path / "base", [trajectory(turns=turns, reward=0.0)])
    after = stored(tmp_path / "tuned", [trajectory()])
    _, document, page = report(tmp_path / "report", before, after)
    found = document["errors"]["count"]["runs"]
    assert found["base"]["counts"]["invalid_action"] == {"count": 1, "of": 1}
    assert found["tuned"] == {"of": 1, "counts": {}}
    assert "#trajectories?env=count&amp;run=base&amp;error=invalid_action" in page


def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = [stored(tmp_path / name / "evaluate", attempts([1.0])) for name in ("small", "large")]
    _, document, _ = report(tmp_path / "report", *runs, runs[0])
    names = [each["name"] for each in document["runs"]]
    assert names == ["small/evaluate (1)", "large/evaluate", "small/evaluate (2)"]


def rewritten(directory, change):
    """The run with its rows changed, as another version of agentray would have written them."""
    shard = directory / "shard-000000.parquet"
    rows = [change(row) for row in pq.read_table(shard).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows), shard)
    return directory


def test_an_older_schema_is_read(tmp_path):
    def first_version(row):
        turns = [
            {k: v for k, v in turn.items() if k not in ("state", "prefix_kept")} for turn in row["turns"]
        ]
        return {**{k: v for k, v in row.items() if k != "temperature"}, "turns": turns, "schema_version": 1}

    old = rewritten(stored(tmp_path / "old", attempts([1.0])), first_version)
    _, document, _ = report(tmp_path / "report", old)
    assert document["scores"]["count"]["n"] == 1


def test_a_newer_schema_is_refused_with_its_version(tmp_path):
    new = rewritten(stored(tmp_path / "new", attempts([1.0])), lambda row: {**row, "schema_version": 99})
    with pytest.raises(DataError, match="schema version 99"):
        report(tmp_path / "report", new)
    assert not (tmp_path / "report").exists()


def test_a_directory_with_suite_results_alone_is_no_run_of_trajectories(tmp_path):
    suite = tmp_path / "general"
    suite.mkdir()
    tasks = {"mmlu": {"score": 41.5, "n": 200, "interval": [35.0, 48.0], "scale": "0-100", "synthetic": True}}
    (suite / "suite.json").write_text(json.dumps({"suite": "general", "policy": "tuned", "tasks": tasks}))
    run_directory = stored(tmp_path / "run", attempts([1.0]))
    _, document, page = report(tmp_path / "report", run_directory, suite)
    assert [each["name"] for each in document["runs"]] == ["run"]
    assert document["suites"][0]["tasks"] == tasks
    assert "synthetic" in page and "41.5" in page and "35 to 48" in page
    _, document, page = report(tmp_path / "alone", suite)
    assert document["scores"] == {} and "41.5" in page and 'id="browser"' not in page


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"tasks": []}', "{"])
def test_a_file_that_is_no_suites_results_is_an_error_of_the_user(tmp_path, content):
    (tmp_path / "suite.json").write_text(content)
    with pytest.raises(DataError, match=r"suite\.json"):
        report(tmp_path / "report", tmp_path)


def test_a_group_that_lacks_tasks_is_named_in_the_report(tmp_path):
    tasks = {"mmlu": {"score": 41.5, "n": 200, "synthetic": True}}
    (tmp_path / "suite.json").write_text(json.dumps({"suite": "general", "policy": "tuned", "tasks": tasks}))
    _, document, page = report(tmp_path / "report", tmp_path)
    assert document["overall"] == {"why_not": "the general tasks lack humaneval, gsm8k, mtbench"}
    assert "No Overall: the general tasks lack humaneval" in page
    tasks |= {name: {"score": None} for name in ("humaneval", "gsm8k", "mtbench")}
    (tmp_path / "suite.json").write_text(json.dumps({"suite": "general", "policy": "tuned", "tasks": tasks}))
    assert "no group has an Overall: " in report(tmp_path / "report", tmp_path)[1]["overall"]["why_not"]
    only = stored(tmp_path / "run", attempts([1.0]))
    assert report(tmp_path / "report", only)[1]["overall"] == {}


def swept(directory, trials, counts):
    directory.mkdir()
    (directory / "table.json").write_text(json.dumps(trials))
    manifest.write(directory, manifest.Manifest("tune", {}, counts))
    return directory


def test_a_sweep_is_shown_with_its_recommendation(tmp_path):
    trials = [
        {"eta": eta, "scores": {"count": eta}, "general_before": 1.0, "general_after": 1.0 + eta}
        for eta in (0.2, 0.8)
    ]
    sweep = swept(tmp_path / "tune", trials, {"recommended_eta": 0.2})
    only = stored(tmp_path / "run", attempts([1.0]))
    _, document, page = report(tmp_path / "r", only, tune=sweep)
    assert document["sweep"]["recommended_eta"] == 0.2
    assert '0.2 <span class="tag">recommended</span>' in page and "1.800" in page and "Score by η" in page


def test_a_sweep_of_other_settings_has_a_column_for_each(tmp_path):
    varied = [{"train.seed": 1, "train.method.name": name} for name in ("full", "distill")]
    trials = [{"eta": 0.5, "scores": {"count": 1.0}, "settings": each} for each in varied]
    counts = {"recommended": "b", "trials": {"a": trials[0], "b": trials[1]}}
    sweep = swept(tmp_path / "tune", trials, counts)
    _, document, page = report(tmp_path / "r", stored(tmp_path / "run", attempts([1.0])), tune=sweep)
    assert [each["recommended"] for each in document["sweep"]["trials"]] == [False, True]
    assert '<th scope="col">train.method.name</th>' in page and "<td>distill</td>" in page
    assert "Score by" not in page


def test_a_tokenizer_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="no tokenizer"):
        report(tmp_path / "r", stored(tmp_path / "run", attempts([1.0])), tokenizer=tmp_path)


def test_a_suite_without_results_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"suite\.json"):
        report(tmp_path / "r", stored(tmp_path / "run", attempts([1.0])), suite=[tmp_path])


def test_a_further_evaluation_is_shown_under_its_label(tmp_path):
    runs = [stored(tmp_path / name, attempts([reward, 1.0])) for name, reward in (("a", 0.0), ("b", 1.0))]
    pairs = [{"label": "Real <records>", "before": runs[0], "after": runs[1]}, {"label": "not run"}]
    _, document, page = report(tmp_path / "r", runs[1], pairs=pairs)
    (pair,) = document["pairs"]
    assert (pair["label"], pair["scores"]["count"]["before"]) == ("Real <records>", 0.5)
    assert "Real &lt;records&gt;" in page and "not run" not in page


def test_what_a_recipe_wrote_is_in_the_report(tmp_path):
    stages = [{"name": "train", "wall_s": 60.0, "counts": {"steps": 3}}]
    skipped = {"name": "suite", "state": "skipped", "wall_s": 0.0, "counts": {}}
    state = {
        "stages": [*stages, skipped],
        "wall_s": 90.0,
        "peak_memory_bytes": 2048,
        "settings": {"eta": 0.2},
    }
    (tmp_path / "recipe.json").write_text(json.dumps(state))
    run_directory = stored(tmp_path / "run", attempts([1.0]))
    _, document, page = report(tmp_path / "r", run_directory, recipe=tmp_path)
    assert document["stages"] == stages and document["settings"] == {"eta": 0.2}
    assert "1 min 0 s in 1 stages, of 1 min 30 s in all." in page and "2 KiB" in page
    (tmp_path / "recipe.json").write_text('{"stages": [{}]}')
    with pytest.raises(DataError, match=r"stages\.0\.name"):
        report(tmp_path / "r", run_directory, recipe=tmp_path)


def test_training_and_data_are_read_from_their_stages(tmp_path):
    train, filtered, mixed = (tmp_path / name for name in ("train", "filter", "mix"))
    for directory, counts in (
        (filtered, {"read": 4, "kept": 3, "rejected": {"low_reward": 1}}),
        (mixed, {"eta": 0.5, "realised": {"agent": 0.4}}),
    ):
        directory.mkdir()
        manifest.write(directory, manifest.Manifest(directory.name, {}, counts))
    (train / "model").mkdir(parents=True)
    counts = {"tokens_per_s": 9.0, "tokens": 20, "loss_tokens": 10}
    losses = {"validation_before": {"a": 1.0, "b": 3.0}, "validation_after": {"a": 2.0, "b": 2.0}}
    manifest.write(train, manifest.Manifest("train", {}, counts | losses))
    lines = [
        {"step": 1, "loss": 2.0, "loss_by_source": {"a": 2.0}},
        {"step": 2, "loss": float("nan"), "loss_by_source": {}},
    ]
    (train / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    settings = {"train": train, "filter": filtered, "mix": mixed}
    _, document, page = report(tmp_path / "r", stored(tmp_path / "run", attempts([1.0])), **settings)
    assert document["training"]["loss_by_source"] == {"a": [2.0, None]}
    assert document["general"] == {"before_nll": 2.0, "after_nll": 2.0}
    assert document["data"]["kept"] == 3 and document["data"]["realised"] == {"agent": 0.4}
    assert [stage["name"] for stage in document["stages"]] == ["filter", "mix", "train", "evaluate run"]
    assert document["serve_command"].startswith("agentray serve --model ") and "Serve this" in page
    assert "3 of 4" in page and "no change" in page


def test_the_report_signs_its_own_directory_and_no_other(tmp_path):
    run_directory = stored(tmp_path / "run", attempts([1.0]))
    report(tmp_path / "r", run_directory)
    signed = manifest.read(tmp_path / "r")
    assert (signed.stage, signed.inputs) == ("report", {str(run_directory): manifest.digest(run_directory)})
    report(run_directory, run_directory)
    assert manifest.read(run_directory).stage == "rollout"
