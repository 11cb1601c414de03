"""The benchmarks' own records, where this machine has them: gold scores 100, a wrong answer 0."""

import os
from pathlib import Path

import pytest
from machine import needs_sandbox

from agentray.suites.benchmark import Answer
from agentray.suites.gsm8k import Gsm8k
from agentray.suites.humaneval import HumanEval
from agentray.suites.loss import Loss
from agentray.suites.mtbench import MtBench
from agentray.suites.reading import records

DATA = Path(os.environ.get("AGENTRAY_TEST_DATA") or Path(__file__).parents[4] / "../shared/data")


def questions(benchmark, name=None):
    directory = DATA / (name or benchmark.name)
    if not directory.is_dir():
        pytest.skip(f"no {directory}: set AGENTRAY_TEST_DATA to a directory with the benchmark's records")
    found = benchmark.questions(directory, 0)
    assert not found.excluded
    return found.questions


def test_gsm8k_gold_solutions_are_read_as_their_gold():
    found = questions(Gsm8k())
    solutions = {
        row["question"].strip(): row["answer"]
        for row in records(DATA / "gsm8k", "gsm8k", (), "test*.jsonl").values()
    }
    grades = Gsm8k().grade([Answer(each, ((solutions[each.turns[0]],),)) for each in found])
    assert set(grades.values) == {100.0}
    assert 90 < grades.extra["score_paper_reading"] < 100  # its reading loses golds such as 70,000
    assert set(Gsm8k().grade([Answer(each, (("I cannot tell",),)) for each in found]).values) == {0.0}


@needs_sandbox
def test_humaneval_canonical_solutions_pass_and_empty_bodies_do_not():
    rows = list(records(DATA / "humaneval", "humaneval", (), "*.jsonl").values()) if DATA.is_dir() else []
    found = questions(HumanEval())[:20]
    solutions = [row["canonical_solution"] for row in rows[:20]]
    right = [Answer(each, ((text,),)) for each, text in zip(found, solutions, strict=True)]
    assert set(HumanEval().grade(right).values) == {100.0}
    whole = [
        Answer(each, ((f"```python\n{each.gold['prompt']}{text}```",),))
        for each, text in zip(found, solutions, strict=True)
    ]
    assert set(HumanEval().grade(whole).values) == {100.0}
    assert set(HumanEval().grade([Answer(each, (("    pass",),)) for each in found]).values) == {0.0}


def test_mt_bench_gives_the_judge_references_where_they_help():
    asked = {}

    def judge(name, given):
        asked.update({each.id: each.turns[0] for each in given})
        return {each.id: "Well done.\n[[10]]" for each in given}

    benchmark = MtBench(judge)
    found = questions(benchmark, "mt_bench")
    assert len({each.gold["category"] for each in found[:8]}) == 8
    referenced = {each.gold["category"] for each in found if "references" in each.gold}
    assert referenced <= {"math", "reasoning", "coding"} and len(referenced) > 1
    grades = benchmark.grade([Answer(each, (("yes", "no"),)) for each in found])
    assert set(grades.values) == {10.0} and grades.extra["unjudged"] == 0
    assert len(asked) == 2 * len(found)


def test_general_conversations_are_read_up_to_their_last_reply(tmp_path):
    source = DATA / "general_instructions" / "sharegpt_dummy_conversation_head.json"
    if not source.is_file():
        pytest.skip(f"no {source}")
    (tmp_path / source.name).write_bytes(source.read_bytes())
    found = Loss().questions(tmp_path, 0)
    assert len(found.questions) == 500
    assert all(each.options[0].strip() and each.turns[0] for each in found.questions)
    assert any(len(each.instruction) > 1 for each in found.questions)
