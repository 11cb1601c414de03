import json
import re
from collections import Counter
from itertools import islice

import pytest
from playing import play

from agentray.config import TasksConfig
from agentray.errors import DataError, UsageError
from agentray.rollout.tasks import TasksFile, run
from agentray.types import SPLITS
from agentray_database import Database
from agentray_database.environment.engine import Sandbox
from agentray_database.generator import generate

INSERT = {
    "description": "Add Bo, aged 3.",
    "table": {
        "table_name": "people",
        "table_info": {"columns": [{"name": "name"}, {"name": "age"}], "rows": [["Al", 5], ["Cy", None]]},
    },
    "type": ["INSERT"],
    "label": ["INSERT INTO people VALUES ('Bo', '3')"],
    "answer_md5": "0" * 32,
}


def table(**fields):
    return INSERT | {"table": {"table_name": "people", "table_info": {**_INFO, **fields}}}


_INFO = INSERT["table"]["table_info"]
SELECT = INSERT | {"type": ["other"], "label": ["5"], "answer_md5": None}


def tasks(tmp_path, *rows):
    path = tmp_path / "records.jsonl"
    path.write_text("\ufeff" + "".join(json.dumps(row) + "\r\n\r\n" for row in rows), encoding="utf-8")
    return list(Database(data=str(path)).tasks("test"))


def test_a_byte_order_mark_and_blank_lines_are_skipped_and_numbers_become_text(tmp_path):
    insert, select, lower = tasks(
        tmp_path, INSERT, SELECT | {"label": [5, 0.5]}, INSERT | {"type": ["insert"]}
    )
    assert insert.data["rows"] == [["Al", "5"], ["Cy", None]]
    assert (insert.data["kind"], insert.data["sql"]) == ("insert", INSERT["label"][0])
    assert (select.data["kind"], select.data["label"]) == ("select", ["5", "0.5"])
    assert lower.data == insert.data


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ([], "not an object"),
        (INSERT | {"type": "INSERT"}, "`type` is 'INSERT', not a list"),
        (INSERT | {"type": []}, "not a list of one name"),
        (INSERT | {"type": [None]}, "not a list of one name"),
        (INSERT | {"type": ["INSERT", "other"]}, "not a list of one name"),
        (SELECT | {"label": "abc"}, "`label` is 'abc', not a list"),
        (SELECT | {"label": [["a"]]}, "`label` holds ['a']"),
        (SELECT | {"label": [None]}, "`label` holds null"),
        (SELECT | {"label": [True]}, "`label` holds True"),
        (INSERT | {"label": []}, "no statement"),
        (INSERT | {"answer_md5": "abc"}, "no md5"),
        (INSERT | {"answer_md5": None}, "`answer_md5` is None"),
        (INSERT | {"description": ["q"]}, "`description` is ['q'], not text"),
        (INSERT | {"description": " "}, "`description` is empty"),
        (INSERT | {"add_description": ["q"]}, "`add_description` is ['q'], not text"),
        (INSERT | {"table": "people"}, "no `table.table_name`"),
        (INSERT | {"table": {"table_name": 5, "table_info": _INFO}}, "`table.table_name` is 5, not text"),
        (table(columns="ab"), "`table.table_info.columns` is 'ab', not a list"),
        (table(columns=["name", "age"]), "a column is 'name'"),
        (table(columns=[{"name": "name"}, {"name": 5}]), "a column is {'name': 5}"),
        (table(columns=[], rows=[]), "one or more"),
        (table(columns=[{"name": "name"}, {"name": "Name"}]), "of different names"),
        (table(rows="ab"), "`table.table_info.rows` is 'ab', not a list"),
        (table(rows=["xy"]), "a row is 'xy', not a list of 2 cells"),
        (table(rows=[["x"]]), "a row is ['x'], not a list of 2 cells"),
        (table(rows=[["x", {"a": 1}]]), "rows` holds {'a': 1}"),
        (table(rows=[["x", float("nan")]]), "rows` holds nan"),
        (INSERT | {"description": "half \ud83d"}, "surrogate pair"),
        (table(rows=[["x", "\0"]]), "NUL"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, row, why):
    with pytest.raises(DataError, match=r"records\.jsonl:3 is not a DBBench record") as caught:
        tasks(tmp_path, INSERT, row)
    assert why in caught.value.why


def test_a_file_without_records_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no records"):
        tasks(tmp_path)
    with pytest.raises(UsageError, match="cannot read"):
        Database(data=str(tmp_path / "absent.jsonl"))


def test_tasks_of_a_file_that_is_gone_are_played(tmp_path):
    data = tmp_path / "records.jsonl"
    data.write_text(json.dumps(SELECT) + "\n")
    written = TasksConfig(
        envs=["database"], split="test", out=tmp_path / "tasks.jsonl", env={"database": {"data": str(data)}}
    )
    assert run(written).num_tasks == {"database": 1}
    data.unlink()
    source = TasksFile(tmp_path / "tasks.jsonl", {})
    assert [task.data["label"] for _, task in source.tasks(lambda env, place: True)] == [["5"]]
    assert source.specs[0].kwargs == {}


def test_replaying_recorded_statements_gives_the_recorded_hashes(dbbench):
    counted = agreed = 0
    for name in ("dev.jsonl", "standard_head.jsonl"):
        for task in Database(data=str(dbbench / name)).tasks("test"):
            if task.data["kind"] == "select":
                continue
            sandbox = Sandbox(task.data["table"], task.data["headers"], task.data["rows"])
            sandbox.execute(task.data["sql"])
            counted += 1
            agreed += sandbox.table_hash() == task.data["hash"]
            sandbox.close()
    assert counted == 180
    assert agreed >= 178, "SQLite with MySQL's collation agrees on 179"


def test_every_split_yields_all_records_in_agentbenchs_words(dbbench):
    environment = Database(data=str(dbbench / "dev.jsonl"))
    first = json.loads((dbbench / "dev.jsonl").read_text().splitlines()[0])
    for split in SPLITS:
        tasks = list(environment.tasks(split))
        assert len(tasks) == 60 and tasks[0].split == split
        task = next(each for each in tasks if each.id == f"{split}/agentbench-0")
        observation, _ = environment.make().reset(options={"task": task})
        assert observation == f"{first['description']}\n{first['add_description']}"


def test_the_first_records_have_each_categorys_share(dbbench):
    path = str(dbbench / "standard_head.jsonl")
    tasks = list(Database(data=path).tasks("test"))
    whole = Counter(task.data["category"] for task in tasks)
    for first in (30, 60, 120):
        part = Counter(task.data["category"] for task in tasks[:first])
        assert all(abs(part[name] - first * count / len(tasks)) <= 1 for name, count in whole.items())
    again, other = (list(Database(data=path, seed=seed).tasks("test")) for seed in (0, 1))
    assert again == tasks and other != tasks
    assert {task.id for task in other} == {task.id for task in tasks}
    assert next(Database(data=path).tasks("test", start=40)) == tasks[40]


def test_a_record_may_hold_what_python_takes_for_the_end_of_a_line(dbbench, tmp_path):
    first = json.loads((dbbench / "dev.jsonl").read_text().partition("\n")[0])
    row = {**first, "description": "one\u2028two\x85three"}
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert next(Database(data=str(path)).tasks("test")).data["question"] == row["description"]


def test_labels_win_and_empty_answers_lose(dbbench):
    environment = Database(data=str(dbbench / "dev.jsonl"))
    results = {"expert": 0.0, "empty": 0.0}
    for task in environment.tasks("test"):
        expert = environment.expert(task)
        results["expert"] += play(environment, task, lambda messages, info, act=expert: act(messages))[0]
        results["empty"] += play(
            environment, task, lambda messages, info: "Action: Answer\nFinal Answer: []"
        )[0]
    assert results["expert"] >= 59
    assert results["empty"] <= 3, "a recorded statement that changes no row is won by doing nothing"


def test_generated_tasks_repeat_no_question_or_table_name_of_agentbench(dbbench):
    recorded = [
        t for n in ("dev.jsonl", "standard_head.jsonl") for t in Database(data=str(dbbench / n)).tasks("test")
    ]
    words = {_words(task.data["question"]) for task in recorded}
    rows = {tuple(row) for task in recorded for row in task.data["rows"]}
    for split in SPLITS:
        for task in islice(generate(split), 300):
            assert _words(task.data["question"]) not in words
            assert not rows & {tuple(row) for row in task.data["rows"]}


def _words(text):
    return " ".join(re.findall(r"\w+", text.lower()))
