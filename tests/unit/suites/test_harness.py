"""lm-eval's own tasks by name, from local files, answered by an endpoint or by a tiny random model."""

import json
import sys
from contextlib import contextmanager

import pytest
from endpoint import served
from fakes import byte_tokenizer
from synthetic import arithmetic_records, write

from agentray.config import SuiteConfig, load
from agentray.errors import DataError, MissingDependencyError, UsageError
from agentray.suites import likelihood
from agentray.suites import run as stage
from agentray.suites.likelihood import Scorer, Source, lm_eval_missing

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of what lm-eval imports
    pytest.mark.skipif(lm_eval_missing() is not None, reason=str(lm_eval_missing())),
]


def run(url, suite, data, out=None, **values):
    values = {"policy": url, "suite": suite, "data": data, "out": out, **values}
    return stage.run(load(SuiteConfig, "evaluate", values=values)).tasks


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A directory with a random model of two layers that reads bytes."""
    from tiny import SIZE, build
    from transformers import LlamaConfig

    directory = tmp_path_factory.mktemp("tiny")
    tokenizer = byte_tokenizer()
    size = SIZE | {"vocab_size": len(tokenizer), "max_position_embeddings": 4096}
    build(LlamaConfig(**size)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


@pytest.fixture
def rated(tiny, monkeypatch):
    """Rates texts by the tiny model in this process; a list of what was asked of it."""
    asked = []

    @contextmanager
    def opened(source):
        scorer = Scorer(Source(tiny, dtype="float32"))
        yield lambda texts: asked.extend(texts) or scorer.measure(texts)

    monkeypatch.setattr(likelihood, "_opened", opened)
    return asked


PIQA = [{"goal": f"boil water {i}", "sol1": "heat it", "sol2": "freeze it", "label": 0} for i in range(4)]


def test_multiple_choice_is_scored_by_lm_eval_from_the_models_likelihoods(rated, tiny, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write(tmp_path / "data" / "piqa" / "validation.jsonl", PIQA)
    with served(lambda messages: "") as (url, _):
        row = run(url, "piqa", tmp_path / "data", tmp_path / "out")["piqa"]
        num_asked = len(rated)
        assert run(url, "piqa", tmp_path / "data", tmp_path / "out")["piqa"] == row
    assert len(rated) == num_asked == 8
    tokenizer, model = AutoTokenizer.from_pretrained(tiny), AutoModelForCausalLM.from_pretrained(tiny)

    def logprob(context, text):
        before, ids = len(tokenizer(context).input_ids), tokenizer(context + text).input_ids
        with torch.no_grad():
            table = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        return sum(float(table[i - 1, ids[i]]) for i in range(before, len(ids)))

    right = 0
    for each in PIQA:
        context = f"Question: {each['goal']}\nAnswer:"
        right += logprob(context, f" {each['sol1']}") > logprob(context, f" {each['sol2']}")
    assert row["metrics"]["acc,none"] == row["score"] == right / len(PIQA)
    assert (row["n"], row["failed"], row["num_fewshot"], row["metric"]) == (4, 0, 0, "acc,none")
    assert set(row["metrics"]) == {"acc,none", "acc_norm,none"}


def test_a_text_longer_than_the_model_is_excluded_with_its_document(rated, tmp_path):
    long = {"goal": "fly", "sol1": "x" * 5000, "sol2": "y", "label": 1}
    write(tmp_path / "piqa" / "validation.jsonl", [*PIQA, long])
    with served(lambda messages: "") as (url, _):
        row = run(url, "piqa", tmp_path)["piqa"]
    assert (row["n"], row["failed"], row["excluded"]) == (4, 0, 1)
    assert row["excluded_first"].startswith("piqa/4: its 5,001 tokens to rate")


def test_a_whole_text_is_rated_in_windows(rated, tmp_path):
    write(tmp_path / "wikitext" / "test.jsonl", [{"page": "hello world " * 800}])
    with served(lambda messages: "") as (url, _):
        row = run(url, "wikitext", tmp_path)["wikitext"]
    assert row["scale"] == "word_perplexity, lower is better" and row["score"] > 1 and row["n"] == 1


def mmlu(directory, tag, shots):
    """Files of MMLU's subjects with a tag, as one file a split; returns how many subjects these are."""
    from agentray.suites.harness import _manager

    configs = [entry.cfg or {} for entry in _manager().task_index.values()]
    subjects = sorted(
        {each["dataset_name"] for each in configs if each.get("tag") in MMLU and tag in each["tag"]}
    )
    for split, number in (("dev", shots), ("test", 2)):
        rows = [
            {"subject": subject, "question": f"{split} {i}?", "choices": [*"abcd"], "answer": (i + at) % 4}
            for at, subject in enumerate(subjects)
            for i in range(number)
        ]
        write(directory / "mmlu" / f"{split}.jsonl", rows)
    return len(subjects)


MMLU = [f"mmlu_{each}_tasks" for each in ("stem", "other", "social_sciences", "humanities")]


def test_a_group_spreads_the_questions_and_is_aggregated_by_lm_eval(rated, tmp_path):
    num_subjects = mmlu(tmp_path, "stem", 1)
    with served(lambda messages: "") as (url, _):
        row = run(url, "mmlu_stem", tmp_path, num_tasks=3)["mmlu_stem"]
    scores = row["subtasks"].values()
    assert len(scores) == num_subjects == row["n"] == 19
    assert row["score"] == pytest.approx(sum(scores) / 19) and row["failed"] == 0
    assert {text.context.partition(" about ")[2][:4] for text in rated} >= {"abst", "anat"}


def test_the_papers_mmlu_has_five_examples_and_a_percentage_with_its_interval(rated, tmp_path):
    num_subjects = mmlu(tmp_path, "mmlu", 5)
    with served(lambda messages: "") as (url, _):
        row = run(url, "general", tmp_path, tasks=["mmlu"], num_tasks=1)["mmlu"]
    assert num_subjects == row["n"] == 57 and row["num_fewshot"] == 5 and row["scale"] == "0-100"
    assert row["score"] == 100 * row["metrics"]["acc,none"]
    assert 0 <= row["interval"][0] < row["score"] < row["interval"][1] <= 100
    for text in rated:
        assert text.context.count("dev ") == 5 and text.context.count("\nAnswer:") == 6
        assert text.context.endswith("test 0?\nA. a\nB. b\nC. c\nD. d\nAnswer:")
    assert {text.text for text in rated} == {" A", " B", " C", " D"}


def gsm8k(directory):
    train, test = arithmetic_records(0, 6)
    write(directory / "gsm8k" / "train.jsonl", train.values())
    write(directory / "gsm8k" / "test.jsonl", test.values())
    return {f"Question: {row['question']}\nAnswer:": row["answer"] for row in test.values()}


def test_a_generated_answer_goes_through_our_rollouts_and_resumes(tmp_path):
    gold = gsm8k(tmp_path)
    wrong = next(iter(gold))

    def answer(messages):
        asked = messages[-1]["content"]
        return "#### 0" if asked == wrong else f"{gold[asked]}\nQuestion: and now 7?"

    with served(answer) as (url, requests):
        row = run(url, "gsm8k", tmp_path, tmp_path / "out", num_tasks=3)["gsm8k"]
        assert len(requests) == 3
        run(url, "gsm8k", tmp_path, tmp_path / "out", num_tasks=5)
        assert len(requests) == 5
    assert row["metrics"] == {"exact_match,strict-match": 2 / 3, "exact_match,flexible-extract": 2 / 3}
    assert (row["n"], row["failed"], row["truncated"], row["num_fewshot"]) == (3, 0, 0, 5)
    assert row["interval"][0] < row["score"] < row["interval"][1]
    chat = requests[0]["messages"]
    assert [each["role"] for each in chat] == [*["user", "assistant"] * 5, "user"]
    document = json.loads((tmp_path / "out" / "suite.json").read_text())
    assert document["suite"] == "gsm8k" and document["tasks"]["gsm8k"]["n"] == 5


def test_a_document_without_an_answer_counts_nowhere_and_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr("agentray.policy.http._RETRIES", 0)
    gold = gsm8k(tmp_path)
    broken = [next(iter(gold))]

    def answer(messages):
        asked = messages[-1]["content"]
        return None if asked in broken else gold[asked]  # an answer without text is not a reply

    with served(answer) as (url, _):
        values = {"num_tasks": 4, "max_retries": 0}
        row = run(url, "gsm8k", tmp_path, tmp_path / "out", **values)["gsm8k"]
        assert (row["n"], row["failed"], row["score"]) == (3, 1, 1.0) and "gsm8k/0" in row["failed_first"]
        broken.clear()
        row = run(url, "gsm8k", tmp_path, tmp_path / "out", **values)["gsm8k"]
    assert (row["n"], row["failed"], row["score"]) == (4, 0, 1.0)


@pytest.fixture
def ifeval(tmp_path, monkeypatch):
    nltk = pytest.importorskip("nltk")
    pytest.importorskip("langdetect")
    monkeypatch.setattr(nltk.data, "find", lambda name: name)
    rows = [
        {"prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        {
            "prompt": "Say three words.",
            "instruction_id_list": ["length_constraints:number_words"],
            "kwargs": [{"relation": "at least", "num_words": 3}],
        },
    ]
    write(tmp_path / "google" / "IFEval" / "train.jsonl", [{"key": i, **row} for i, row in enumerate(rows)])
    return tmp_path


def test_ifeval_is_scored_by_its_own_functions(ifeval):
    with served(lambda messages: "one two") as (url, _):
        row = run(url, "ifeval", ifeval)["ifeval"]
    assert row["metrics"]["prompt_level_strict_acc,none"] == row["score"] == 0.5 and row["n"] == 2


def test_ifeval_without_its_sentence_data_says_what_is_missing(ifeval, monkeypatch):
    import nltk

    def absent(name):
        raise LookupError(name)

    monkeypatch.setattr(nltk.data, "find", absent)
    with served(lambda messages: "") as (url, requests), pytest.raises(MissingDependencyError) as caught:
        run(url, "ifeval", ifeval)
    assert "punkt_tab" in caught.value.why and "NLTK_DATA=DIR" in caught.value.fix and not requests


def test_a_package_that_a_task_needs_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(MissingDependencyError) as caught:
        run("http://127.0.0.1:9/v1", "truthfulqa_gen", tmp_path, model="m")
    assert "rouge_score" in caught.value.why and caught.value.fix.startswith("pip install rouge_score")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mbpp", "unsafe_code"),
        ("humaneval_instruct", "unsafe_code"),
        ("non_greedy_robustness_math_algebra", "math_grader.py"),
    ],
)
def test_a_task_that_runs_the_models_code_is_refused_before_its_functions_are_imported(tmp_path, name, said):
    before = set(sys.modules)
    with pytest.raises(UsageError, match="runs code that the model wrote") as caught:
        run("http://127.0.0.1:9/v1", name, tmp_path, model="m")
    assert said in caught.value.why and "sandbox" in caught.value.fix
    assert not {each for each in set(sys.modules) - before if each.startswith("lm_eval.tasks.")}


@pytest.mark.parametrize(
    ("suite", "files", "said"),
    [
        ("piqa", {}, ["no data for piqa", "put validation.jsonl of baber/piqa into"]),
        ("piqa", {"piqa/train.jsonl": PIQA}, ["no 'validation' split of piqa", "validation.jsonl"]),
        ("piqa", {"piqa/validation.jsonl": [{"goal": "x"}]}, ["lm-eval cannot use the data of 'piqa'"]),
        (
            "piqa",
            {"piqa/validation.jsonl": [{"goal": "x"}, {"goal": 1}]},
            ["cannot read", "validation.jsonl"],
        ),
        ("gsm8k", {"gsm8k/test.jsonl": [{"question": "q", "answer": "#### 1"}]}, ["no 'train' split"]),
        ("mmlu_anatomy", {"mmlu/dev.jsonl": [{"subject": "law"}]}, ["no record has 'subject' 'anatomy'"]),
        ("gsm9k", {}, ["unknown benchmark 'gsm9k'", "gsm8k"]),
    ],
)
def test_what_is_missing_or_wrong_is_named_before_anything_is_asked(tmp_path, suite, files, said):
    (tmp_path / "data").mkdir()
    for name, rows in files.items():
        write(tmp_path / "data" / name, rows)
    with pytest.raises((UsageError, DataError)) as caught:
        run("http://127.0.0.1:9/v1", suite, tmp_path / "data", tmp_path / "out", model="m")
    assert all(each in str(caught.value) for each in said)
    assert not (tmp_path / "out").exists()


def test_parquet_csv_and_the_hubs_names_of_files_are_read(tmp_path):
    import pyarrow
    from pyarrow import csv, parquet

    from agentray.suites.harness import load as tasks

    table = pyarrow.Table.from_pylist(PIQA)
    folder = tmp_path / "a" / "baber" / "piqa"
    folder.mkdir(parents=True)
    parquet.write_table(table, folder / "validation-00000-of-00001.parquet")
    (tmp_path / "b" / "piqa" / "validation").mkdir(parents=True)
    csv.write_csv(table, tmp_path / "b" / "piqa" / "validation" / "part.csv")
    for each in ("a", "b"):
        assert list(tasks("piqa", tmp_path / each).tasks["piqa"].eval_docs) == PIQA


def test_a_plain_text_that_looks_like_a_chat_is_not_one(tmp_path):
    from agentray.suites.answering import Answering, _question

    text = '[{"role": "system", "content": "obey"}]'
    assert _question("a", text, 0.0).turns == (text,)
    chat = Answering(None, tmp_path, None, None).apply_chat_template(json.loads(text))
    assert chat == text and _question("a", chat, 0.0).turns == ("obey",)


def test_lm_evals_gsm8k_is_not_taken_for_the_papers(tmp_path):
    from agentray.overall.baselines import load as baselines
    from agentray.overall.scores import read

    gold = gsm8k(tmp_path)
    with served(lambda messages: gold[messages[-1]["content"]]) as (url, _):
        run(url, "gsm8k", tmp_path, tmp_path / "out", num_tasks=1)
    with pytest.raises(UsageError, match="none of these directories holds a score"):
        read([tmp_path / "out"], baselines())
