"""Questions and grades of each benchmark, on generated records and on files."""

import gzip
import json
from decimal import Decimal

import pytest
from chats import write_messages
from machine import needs_sandbox
from synthetic import arithmetic_records, benchmark_files, choice_records, write
from synthetic_functions import function_records

from agentray.errors import DataError, UsageError
from agentray.sandbox import backends
from agentray.suites.benchmark import Answer
from agentray.suites.gsm8k import Gsm8k, read_number
from agentray.suites.humaneval import HumanEval, completed
from agentray.suites.instructions import Instructions
from agentray.suites.loss import Loss
from agentray.suites.mtbench import MtBench
from agentray.types import Conversation, Message

EVERY = [Gsm8k(), HumanEval(), MtBench(), Instructions(), Loss()]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return benchmark_files(tmp_path_factory.mktemp("data"))


def questions(data, benchmark):
    return benchmark.questions(data / benchmark.name, 0).questions


@pytest.mark.parametrize("benchmark", EVERY, ids=lambda each: each.name)
def test_equal_files_and_seeds_give_equal_questions(data, benchmark):
    first, again = (benchmark.questions(data / benchmark.name, 3) for _ in range(2))
    assert first.questions and first.questions == again.questions and not first.excluded
    assert len({each.id for each in first.questions}) == len(first.questions)
    assert len({(each.turns, each.options) for each in first.questions}) == len(first.questions)


@pytest.mark.parametrize("generate", [choice_records, arithmetic_records])
def test_generated_records_are_disjoint_and_a_longer_list_begins_with_the_shorter(generate):
    shots, short = generate(5, 10)
    _, long = generate(5, 40)
    assert list(long.values())[:10] == list(short.values())
    asked = [row["question"] for row in [*shots.values(), *long.values()]]
    assert len(set(asked)) == len(asked)
    assert generate(6, 10)[1] != short


def test_the_gold_of_generated_problems_follows_from_their_last_step():
    shots, test = arithmetic_records(1, 200)
    for row in [*shots.values(), *test.values()]:
        steps, _, gold = row["answer"].partition("\n#### ")
        assert read_number(steps) == Decimal(gold) and int(gold) > 0


def test_four_different_options_hold_the_right_answer():
    dev, test = choice_records(1)
    for row in [*dev.values(), *test.values()]:
        assert len(set(row["choices"])) == 4
        if row["subject"] == "addition":
            first, _, second = row["question"].removeprefix("What is ").removesuffix("?").split()
            assert row["choices"]["ABCD".index(row["answer"])] == str(int(first) + int(second))
    assert {row["answer"] for row in test.values()} == set("ABCD")


def test_gsm8k_is_a_dialogue_of_eight_examples(data):
    question = questions(data, Gsm8k())[0]
    roles = [each.role for each in question.instruction]
    assert roles == ["system", "user", "assistant", *["user", "assistant"] * 8]
    assert question.instruction[2].content == "Ok."
    gold = question.gold["answer"]
    answers = [Answer(question, ((text,),)) for text in (f"So #### {gold}", f"{gold}.00", "no idea")]
    grades = Gsm8k().grade([*answers, Answer(question, ((),))])
    assert list(grades.values) == [100.0, 100.0, 0.0, 0.0]
    assert grades.extra == {"score_paper_reading": 25.0, "without_number": 2}


def test_a_problem_without_gold_is_excluded_by_name(tmp_path):
    rows = [{"question": f"q{i}", "answer": f"<<1+{i}={i}>>x\n#### 1,00{i}"} for i in range(9)]
    write(tmp_path / "train.jsonl", rows)
    write(tmp_path / "test.jsonl", [*rows[:2], {"question": "q", "answer": "I do not know"}])
    found = Gsm8k().questions(tmp_path, 0)
    assert [each.gold["answer"] for each in found.questions] == ["1000", "1001"]
    assert found.excluded == ["test.jsonl:3: it does not end with #### and a number"]
    assert "<<" not in "".join(each.content for each in found.questions[0].instruction)


@pytest.mark.parametrize(
    ("benchmark", "rows", "said"),
    [
        (Gsm8k(), [{"task_id": 1, "prompt": "", "entry_point": "f", "test": ""}], "['answer', 'question']"),
        (HumanEval(), [{"question": "q", "answer": "#### 1"}], "has ['answer', 'question']"),
        (MtBench(), [{"a": 1}], "its first record has ['a']"),
    ],
)
def test_a_file_of_another_benchmark_is_refused(tmp_path, benchmark, rows, said):
    for name in ("test.jsonl", "train.jsonl", "question.jsonl"):
        write(tmp_path / name, rows)
    with pytest.raises(DataError) as caught:
        benchmark.questions(tmp_path, 0)
    assert said in caught.value.why


def test_records_of_multiple_choice_have_no_number_that_gsm8k_could_grade(tmp_path):
    rows = [{"question": "q", "subject": "s", "choices": ["a"], "answer": "A"}] * 9
    for name in ("test.jsonl", "train.jsonl"):
        write(tmp_path / name, rows)
    with pytest.raises(DataError, match="only 0 worked examples of gsm8k can be used"):
        Gsm8k().questions(tmp_path, 0)


@pytest.mark.parametrize("benchmark", [each for each in EVERY if each.files])
def test_missing_and_broken_files_are_named(tmp_path, benchmark):
    with pytest.raises(UsageError) as caught:
        benchmark.questions(tmp_path / "absent", 0)
    assert benchmark.name in caught.value.what and "--data DIR" in caught.value.fix
    for name in ("test.jsonl", "train.jsonl", "question.jsonl"):
        (tmp_path / name).write_bytes(b'{"question": \xff\n')
    with pytest.raises(DataError) as caught:
        benchmark.questions(tmp_path, 0)
    assert ".jsonl" in caught.value.what


PROMPT = 'import math\n\n\ndef area(r: int) -> float:\n    """Return the area of a circle."""\n'


AREA = "```python\ndef area(r):\n    return math.pi * r**2\n```"


@pytest.mark.parametrize(
    "reply",
    [
        "    return math.pi * r**2",
        "return math.pi * r**2",
        "```python\n    return math.pi * r**2\n```",
        "Here it is:\n```python\ndef area(r):\n    return math.pi * r**2\n```\nIt squares r.",
        "```python\nimport math\n\ndef helper(x):\n    return x * x\n\n"
        "def area(r):\n    return math.pi * helper(r)\n```\n```python\nprint(area(2))\n```",
        "```py\ndef area(r):\n    return math.pi * r**2",
        f"For example:\n```text\narea(1) -> 3.14\n```\n{AREA}",
        f"```bash\npip install nothing\n```\nThen:\n{AREA}\nOutput:\n```\n3.14\n```",
        f"```\n>>> area(1)\n3.14\n```\n{AREA}",
        f"```python\nprint(area(1))\n```\n{AREA}",
        AREA.replace("python", "python3"),
        AREA.replace("python", "Python 3"),
        AREA.replace("python", "python title=area.py"),
        AREA.replace("python", "{.python}"),
        AREA.replace("python", "code"),
        AREA.replace("```", "~~~"),
        AREA.replace("\n", "\r\n"),
        f"Here it is: {AREA}",
        AREA.replace("\n```", "```"),
        f"Put it into ```area.py```\n{AREA}",
        "```python\nfrom math import pi as p\n\nTWO = area(1) / p\n```\n"
        "```python\ndef area(r):\n    return p * r**2\n```",
    ],
)
def test_a_reply_makes_a_program_whatever_its_form(reply):
    space = {}
    exec(completed(PROMPT, "area", reply), space)  # our own replies, written above
    assert space["area"](1) == pytest.approx(3.14159, rel=1e-4)


def test_a_reply_that_python_warns_of_is_read_in_silence():
    program = completed(PROMPT, "area", "```python\ndef area(r):\n    return '\\d'\n```")
    assert program.startswith("import math") and program.count("def area") == 1


@needs_sandbox
def test_reference_solutions_pass_their_hidden_tests_and_others_do_not(data):
    asked = questions(data, HumanEval())
    solutions = [row["canonical_solution"] for row in function_records(0).values()]
    right = [Answer(q, ((f"```python\n{s}```",),)) for q, s in zip(asked, solutions, strict=True)]
    assert set(HumanEval().grade(right).values) == {100.0}
    wrong = ["return None", "import sys; sys.exit(0)", "raise SystemExit", "while True: print('x')", ""]
    grades = HumanEval().grade([Answer(asked[0], ((text,),)) for text in wrong])
    assert set(grades.values) == {0.0}


def test_without_a_sandbox_humaneval_is_skipped_with_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(backends.ENVIRONMENT, "PATH", "/nowhere")
    backends.problem.cache_clear()
    try:
        assert "apt-get install bubblewrap" in HumanEval().skipped()
    finally:
        backends.problem.cache_clear()


@needs_sandbox
def test_pass_at_k_is_the_unbiased_estimate(data):
    question = questions(data, HumanEval(samples=4))[0]
    assert question.temperature > 0
    good, bad = ("    return number + {}".format(question.gold["entry_point"].split("_")[1]),), ("pass",)
    grades = HumanEval(samples=4).grade([Answer(question, (good, bad, bad, ()))])
    assert list(grades.values) == [25.0]
    assert grades.extra["pass_at_k"] == {"1": 25.0, "2": 50.0, "4": 100.0}


def test_humaneval_reads_the_published_archive(tmp_path):
    rows = [{"task_id": "HumanEval/0", "prompt": PROMPT, "entry_point": "area", "test": "def check(f): pass"}]
    with gzip.open(tmp_path / "HumanEval.jsonl.gz", "wt") as stream:
        broken = {**rows[0], "task_id": "HumanEval/1", "test": ""}
        stream.write("\n".join(map(json.dumps, [rows[0], broken, rows[0]])))
    found = HumanEval().questions(tmp_path, 0)
    assert [each.id for each in found.questions] == ["HumanEval/0"]
    assert [each.split(": ")[0] for each in found.excluded] == ["HumanEval.jsonl.gz:2", "HumanEval/0"]


def test_mt_bench_counts_what_no_judge_rated(tmp_path):
    write(
        tmp_path / "question.jsonl",
        [
            {"question_id": 1, "category": "math", "turns": ["1+1?", "and 2+2?"]},
            {"question_id": 2, "category": "writing", "turns": ["Write.", "Again."]},
            {"question_id": 3, "category": "writing", "turns": ["Only one."]},
        ],
    )
    choices = [{"index": 0, "turns": ["2", "4"]}]
    write(tmp_path / "reference.jsonl", [{"question_id": each, "choices": choices} for each in (1, 2)])
    asked = {}

    def ask(name, questions):
        asked.update({each.id: each.turns[0] for each in questions})
        return {
            each.id: "[[6]]" if each.id.endswith("/1") else "no" for each in questions if each.id != "2/1"
        }

    benchmark = MtBench(ask, max_attempts=2)
    found = benchmark.questions(tmp_path, 0)
    assert [each.temperature for each in found.questions] == [0.0, 0.7]
    assert [each.split(": ")[0] for each in found.excluded] == ["question.jsonl:3"]
    grades = benchmark.grade([Answer(each, (("so", "and so"),)) for each in found.questions])
    assert list(grades.values) == [6.0]
    assert grades.extra == {"score_turn_1": 6.0, "unjudged": 3, "judgements_unreadable": 6}
    assert "reference" in asked["1/2"] and "reference" not in asked["2/2"].replace("references", "")


def test_loss_is_per_token_of_the_last_reply(data):
    asked = questions(data, Loss())[:2]
    grades = Loss().grade(
        [Answer(q, logprobs=(-6.0,), num_tokens=(n,)) for q, n in zip(asked, (2, 6), strict=True)]
    )
    assert list(grades.values) == [3.0, 1.0]
    assert grades.extra == {"over_all_tokens": 1.5, "tokens": 8}


def test_loss_asks_about_text_and_names_what_is_not_only_text(tmp_path):
    asked, said = Message("user", "q"), Message("assistant", "a", loss=True)
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    calls = Message("assistant", "", loss=True, tool_calls=(call,))
    thought = Message("assistant", "a", loss=True, reasoning="so")
    conversations = [
        (Message("system", "s"), asked, said, asked, said),
        Conversation((asked, said), tools=({"type": "function", "function": {"name": "f"}},)),
        (asked, calls, Message("tool", "t"), said),
        (asked, thought),
        (asked, said, asked, Message("assistant", " ")),
        (asked, said, asked, Message("assistant", "a")),
        (asked, said, said),
        (asked, asked, said),
        (said, asked, said),
        (said,),
    ]
    write_messages(tmp_path / "a.jsonl", conversations)
    found = Loss().questions(tmp_path, 0)
    assert [(each.id, len(each.instruction)) for each in found.questions] == [("a.jsonl:1", 3)]
    assert found.excluded == [
        "a.jsonl:2: has_tools",
        "a.jsonl:3: has_tools",
        "a.jsonl:4: has_reasoning",
        "a.jsonl:5: empty_last_reply",
        "a.jsonl:6: last_reply_without_loss",
        *(f"a.jsonl:{number}: roles_do_not_alternate" for number in (7, 8, 9, 10)),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question_id": 2, "category": "writing", "turns": "ab"}, "two turns of text"),
        ({"question_id": 2, "category": "writing", "turns": ["a", 1]}, "two turns of text"),
        ({"category": "writing", "turns": ["a", "b"]}, "a question_id"),
    ],
)
def test_a_text_in_place_of_a_list_of_texts_is_not_asked_letter_by_letter(tmp_path, row, said):
    good = {"question_id": 1, "category": "math", "turns": ["a", "b"]}
    write(tmp_path / "question.jsonl", [good, row])
    (place,) = MtBench().questions(tmp_path, 0).excluded
    assert place.startswith("question.jsonl:2: ") and said in place
    write(tmp_path / "reference.jsonl", [{"question_id": 1, "choices": [{"turns": "ab"}]}])
    with pytest.raises(DataError, match=r"reference\.jsonl:1 .*is not a reference answer"):
        MtBench().questions(tmp_path, 0)


@pytest.mark.parametrize("name", [None, True, [1], {"a": 1}, 1.5, ""])
def test_a_name_that_is_neither_text_nor_a_number_is_not_spelled_out(tmp_path, name):
    problem = {"prompt": PROMPT, "entry_point": "area", "test": "def check(f): pass"}
    write(tmp_path / "humaneval.jsonl", [{"task_id": "HumanEval/0", **problem}, {"task_id": name, **problem}])
    found = HumanEval().questions(tmp_path, 0)
    assert [each.id for each in found.questions] == ["HumanEval/0"]
    assert found.excluded == [f"humaneval.jsonl:2: its task_id is {name!r}, neither text nor a whole number"]
    rows = [{"question_id": 1, "category": "math", "turns": ["a", "b"]}] * 2
    write(tmp_path / "question.jsonl", rows)
    write(tmp_path / "reference.jsonl", [{"question_id": name, "choices": [{"turns": ["a", "b"]}]}])
    with pytest.raises(DataError, match=r"reference\.jsonl:1 .*is not a reference answer"):
        MtBench().questions(tmp_path, 0)


def test_a_problem_for_a_function_without_a_name_is_excluded(tmp_path):
    problem = {"task_id": 0, "prompt": PROMPT, "entry_point": "area", "test": "def check(f): pass"}
    write(tmp_path / "humaneval.jsonl", [problem, problem | {"task_id": 1, "entry_point": "the area"}])
    (excluded,) = HumanEval().questions(tmp_path, 0).excluded
    assert excluded == "humaneval.jsonl:2: its entry_point is 'the area', not the name of a function"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"question": ["q"], "answer": "#### 1"}, "its question is not text"),
        ({"question": " ", "answer": "#### 1"}, "its question is not text"),
        ({"question": "q", "answer": 1}, "its answer is not text"),
        ({"question": "q", "answer": None}, "its answer is not text"),
    ],
)
def test_a_problem_of_gsm8k_that_is_not_text_is_excluded_by_name(tmp_path, row, why):
    rows = [{"question": f"q{i}", "answer": f"#### {i}"} for i in range(8)]
    write(tmp_path / "train.jsonl", rows)
    write(tmp_path / "test.jsonl", [rows[0], row])
    assert Gsm8k().questions(tmp_path, 0).excluded == [f"test.jsonl:2: {why}"]


@pytest.mark.parametrize("line", ["[1]", '{"question": "\\ud83d", "answer": "#### 1"}', '{"question": '])
def test_a_benchmark_does_without_none_of_its_records(tmp_path, line):
    row = json.dumps({"question": "q", "answer": "#### 1"})
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text(f"{row}\n{line}\n")
    with pytest.raises(DataError, match=r"train\.jsonl:2"):
        Gsm8k().questions(tmp_path, 0)
