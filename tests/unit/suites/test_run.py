"""The whole stage against endpoints on loopback: real HTTP, no engine, no Ray."""

import json

import pytest
from endpoint import served
from machine import needs_sandbox
from synthetic import arithmetic_records, benchmark_files
from synthetic_functions import function_records

from agentray.config import SuiteConfig, load
from agentray.errors import PolicyError, UsageError
from agentray.overall.baselines import load as load_baselines
from agentray.overall.scores import read
from agentray.suites import run as stage
from agentray.suites.rows import interval

GOLD = {row["question"]: row["answer"] for row in arithmetic_records(0)[1].values()}
SOLVED = {row["prompt"]: f"```python\n{row['canonical_solution']}```" for row in function_records(0).values()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return benchmark_files(tmp_path_factory.mktemp("data"))


@pytest.fixture
def settings(data):
    """Settings of a suite with data."""

    def made(url, out, **values):
        return load(SuiteConfig, "evaluate", values={"policy": url, "out": out, "data": data, **values})

    return made


def knows(messages):
    asked = messages[-1]["content"]
    code = next((solution for prompt, solution in SOLVED.items() if prompt in asked), None)
    return code or GOLD.get(asked, "I do not know")


@needs_sandbox
def test_the_right_answers_score_100_and_a_second_run_asks_nothing(settings, tmp_path):
    with served(knows) as (url, requests):
        config = settings(url, tmp_path / "run", tasks=["gsm8k", "humaneval"], num_tasks=5)
        summary = stage.run(config)
        assert len(requests) == 10
        again = stage.run(config)
        assert len(requests) == 10
        more = stage.run(config.model_copy(update={"num_tasks": 7, "tasks": ["gsm8k"]}))
        assert len(requests) == 12
    assert summary.tasks == again.tasks
    for row in summary.tasks.values():
        assert (row["score"], row["n"], row["failed"]) == (100.0, 5, 0)
        assert row["interval"][1] == 100.0 > row["interval"][0] > 50.0
    assert more.tasks["gsm8k"]["n"] == 7
    document = json.loads((tmp_path / "run" / "suite.json").read_text())
    assert document["tasks"].keys() == {"gsm8k"} and "python" in document["versions"]
    assert (tmp_path / "run" / "manifest.json").is_file()


@pytest.mark.parametrize("value", [1.0, 10.0])
def test_ratings_that_are_all_equal_have_an_interval_on_their_own_scale(value):
    assert interval([value] * 8, "1-10") == [value, value]
    assert interval([0.0, 1.0], "nats/token") == [0.0, 1.0]
    assert interval([100.0] * 8, "0-100") == pytest.approx([67.6, 100.0], abs=0.1)


def test_wrong_answers_score_0(settings, tmp_path):
    with served(lambda messages: "nothing at all") as (url, _):
        summary = stage.run(settings(url, None, tasks=["gsm8k", "instructions"], num_tasks=4))
    assert summary.tasks["gsm8k"]["score"] == 0.0
    assert summary.tasks["gsm8k"]["without_number"] == 4
    assert summary.tasks["instructions"]["score"] < 100


def test_a_judge_rates_both_turns_and_its_nonsense_is_counted(settings, tmp_path):
    def judge(messages):
        prompt = messages[-1]["content"]
        if "old bridge" in prompt:
            return "I like it: [[eleven]]"
        return "[[9]]" if prompt.count("assistant\n") == 2 else "Fine.\n[[5]]"

    with served(judge) as (judge_url, judged), served(lambda messages: f"{len(messages)}") as (url, asked):
        config = settings(url, tmp_path, tasks=["mtbench"], judge={"url": judge_url, "max_attempts": 2})
        row = stage.run(config).tasks["mtbench"]
        num_judged = len(judged)
        stage.run(config)
        assert len(judged) == num_judged
    assert [each["temperature"] for each in asked].count(0.7) == 4
    assert (row["score"], row["n"], row["unjudged"]) == (7.0, 7, 2)
    assert (row["score_turn_1"], row["score_turn_2"]) == (5.0, 9.0)
    assert row["judgements_unreadable"] == 4 and num_judged == 16 + 2
    assert row["scale"] == "1-10" and 1 <= row["interval"][0] <= row["interval"][1] <= 10


def test_without_a_judge_mt_bench_is_skipped_with_the_reason(settings):
    with served(knows) as (url, requests):
        summary = stage.run(settings(url, None, tasks=["mtbench"]))
    assert "evaluate.judge.url" in summary.tasks["mtbench"]["skipped"] and not requests


def test_a_judge_that_is_not_there_ends_the_run_before_anything_is_asked(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("agentray.policy.http._RETRIES", 0)
    with served(knows) as (url, requests), pytest.raises(PolicyError) as caught:
        stage.run(settings(url, tmp_path, judge={"url": "http://127.0.0.1:9/v1"}, tasks=["mtbench", "gsm8k"]))
    assert "judge" in caught.value.what and not requests


def test_an_endpoint_without_log_probabilities_skips_likelihoods_with_the_reason(settings, tmp_path):
    with served(knows) as (url, _):
        row = stage.run(settings(url, tmp_path, tasks=["loss"], num_tasks=2)).tasks["loss"]
    assert set(row) == {"score", "skipped"} and row["score"] is None
    assert "evaluate.tokenizer" in row["skipped"] or "agentray[evaluate]" in row["skipped"]


def test_the_overall_reads_what_the_suite_writes(settings, tmp_path):
    baselines = load_baselines()
    assert set(baselines.group("general")) < set(stage.GENERAL)
    with served(knows) as (url, _):
        stage.run(settings(url, tmp_path, tasks=["gsm8k", "mtbench"], num_tasks=2))
    scores = read([tmp_path], baselines).policies[url]
    assert list(scores) == ["gsm8k"] and scores["gsm8k"].score == 100.0


def test_answers_of_another_model_are_not_taken_for_these(settings, tmp_path):
    with served(knows) as (url, _):
        stage.run(settings(url, tmp_path, tasks=["gsm8k"], num_tasks=1))
        with pytest.raises(UsageError, match="holds another run"):
            stage.run(settings(url, tmp_path, tasks=["gsm8k"], num_tasks=1, seed=1))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"tasks": ["gsm8"]}, "did you mean 'gsm8k'?"),
    ],
)
def test_unknown_names_are_refused_with_the_closest(settings, values, said):
    with pytest.raises(UsageError) as caught:
        stage.run(settings("http://127.0.0.1:9/v1", None, **values))
    assert said in caught.value.why


def test_a_benchmark_without_data_says_what_to_give(settings, tmp_path):
    with served(knows) as (url, requests):
        with pytest.raises(UsageError) as caught:
            stage.run(settings(url, tmp_path / "out", tasks=["gsm8k"], data=None))
        assert caught.value.what == "no data for gsm8k" and "--data DIR" in caught.value.fix
        with pytest.raises(UsageError) as caught:
            stage.run(settings(url, tmp_path / "out", suite="humaneval", data=tmp_path))
        assert str(tmp_path / "humaneval") in caught.value.what and "*.jsonl" in caught.value.fix
    assert not requests and not (tmp_path / "out").exists()


def test_a_whole_suite_skips_what_has_no_data_and_runs_the_rest(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    benchmark_files(tmp_path / "data")
    for name in ("humaneval", "loss"):
        (tmp_path / "data" / name).rename(tmp_path / name)
    with served(knows) as (url, _):
        rows = stage.run(settings(url, None, data=tmp_path / "data", num_tasks=1)).tasks
    assert list(rows) == list(stage.GENERAL)
    assert rows["gsm8k"]["score"] == 100.0 and rows["instructions"]["n"] == 1
    for name in ("mmlu", "humaneval", "loss"):
        assert rows[name]["score"] is None and rows[name]["skipped"]
    assert "no data for" in rows["mmlu"]["skipped"] or "agentray[evaluate]" in rows["mmlu"]["skipped"]


@pytest.mark.parametrize(
    "values", [{"suite": "general,loss"}, {"suite": "loss,loss"}, {"suite": "loss", "tasks": ["loss"]}]
)
def test_a_suite_is_general_or_a_list_of_different_benchmarks(settings, values):
    with pytest.raises(UsageError, match="not a list of different benchmarks"):
        stage.run(settings("http://127.0.0.1:9/v1", None, **values))
