"""The general benchmarks on the real model: its engine, lm-eval's log-likelihoods, the sandbox."""

import json
import math

import pytest
from machine import needs_sandbox
from synthetic import benchmark_files, choice_records, write

from agentray.config import SuiteConfig, load
from agentray.models import resolve_model
from agentray.suites import likelihood
from agentray.suites import run as stage
from agentray.suites.likelihood import Scorer, Source, Text, lm_eval_missing

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.filterwarnings("ignore"),  # of what vLLM and lm-eval import
    pytest.mark.skipif(lm_eval_missing() is not None, reason=str(lm_eval_missing())),
]


def stored_answers(directory):
    return {path: path.read_bytes() for path in directory.rglob("*.parquet")}


@needs_sandbox
def test_the_suite_runs_and_resumes_with_a_model(tmp_path, monkeypatch):
    data, out = benchmark_files(tmp_path / "data"), tmp_path / "out"
    values = {"policy": "smollm2-135m", "out": out, "data": data, "num_tasks": 3, "max_tokens": 48}
    config = load(SuiteConfig, "evaluate", values=values)
    summary = stage.run(config)
    rows = summary.tasks
    assert set(rows) == set(stage.GENERAL)
    assert "judge" in rows["mtbench"]["skipped"] and "no data for mmlu" in rows["mmlu"]["skipped"]
    for name in set(rows) - {"mtbench", "mmlu"}:
        assert rows[name]["n"] == 3 and rows[name]["failed"] == 0
    assert 0.5 < rows["loss"]["score"] < 4
    answers = stored_answers(out)
    monkeypatch.setattr(likelihood, "_opened", lambda source: pytest.fail("asked again"))
    assert stage.run(config).tasks == rows
    assert answers and stored_answers(out) == answers  # asked again, they would have other durations
    assert json.loads((out / "suite.json").read_text())["tasks"] == rows


def test_an_endpoints_prompt_log_probabilities_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "of-somebody-else")
    from endpoint import served
    from transformers import AutoTokenizer

    directory = resolve_model("smollm2-135m")
    tokenizer = AutoTokenizer.from_pretrained(directory)

    def complete(request):
        """Every token is as unlikely as its id is high."""
        choices = []
        for index, ids in enumerate(request["prompt"]):
            table = [None, *(-each / 1000 for each in ids[1:]), -1.0]
            tops = [None if each is None else {"x": each} for each in table]
            choices.append({"index": index, "logprobs": {"token_logprobs": table, "top_logprobs": tops}})
        return {"choices": choices}

    data = benchmark_files(tmp_path / "data")
    for split, rows in zip(("dev", "test"), choice_records(0), strict=True):
        write(data / "mmlu" / f"{split}.jsonl", [row | {"subject": "anatomy"} for row in rows.values()])
    with served(lambda messages: "", complete) as (url, requests):
        config = load(
            SuiteConfig,
            "evaluate",
            values={
                "policy": url,
                "suite": "mmlu_anatomy,loss",
                "data": data,
                "num_tasks": 5,
                "tokenizer": directory,
                "out": tmp_path / "out",
            },
        )
        rows = stage.run(config).tasks
    file = tmp_path / "out" / "mmlu_anatomy" / "likelihoods.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    ids = [tokenizer(f" {letter}").input_ids[0] for letter in "ABCD"]
    assert [each[1] for each in lines[:4]] == pytest.approx([-each / 1000 for each in ids])
    assert rows["mmlu_anatomy"]["n"] == rows["loss"]["n"] == 5 and rows["loss"]["score"] > 0
    assert all(request["echo"] and request["logprobs"] for request in requests)
    assert {request["key"] for request in requests} == {None}


def test_log_likelihoods_are_summed_in_float32():
    asked = Text("Count:", " one two three four five six seven eight nine ten" * 5)
    directory = resolve_model("smollm2-135m")
    (exact,) = Scorer(Source(directory, dtype="float32")).measure([asked])
    (rounded,) = Scorer(Source(directory, dtype="bfloat16")).measure([asked])
    assert rounded.logprob == pytest.approx(exact.logprob, rel=0.02)
    assert rounded.logprob != round(rounded.logprob)


def test_log_likelihoods_are_those_of_the_model():
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = resolve_model("smollm2-135m")
    texts = [Text("The capital of France is", option) for option in (" Paris", " made of cheese")]
    measured = Scorer(Source(directory, dtype="float32")).measure(texts)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    prompt = tokenizer("The capital of France is").input_ids
    for (_, option), found in zip(texts, measured, strict=True):
        ids = prompt + tokenizer(option).input_ids
        with torch.no_grad():
            table = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(float(table[i - 1, ids[i]]) for i in range(len(prompt), len(ids)))
        assert math.isclose(found.logprob, expected, rel_tol=1e-4)
        assert found.num_tokens == len(ids) - len(prompt) and not found.truncated
    assert measured[0].logprob > measured[1].logprob
