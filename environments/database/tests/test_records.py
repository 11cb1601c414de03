import json
import re
from itertools import islice

from playing import play

from agentray.types import SPLITS
from agentray_database import Database
from agentray_database.engine import Sandbox
from agentray_database.generator import generate


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
        observation, _ = environment.make().reset(options={"task": tasks[0]})
        assert observation == f"{first['description']}\n{first['add_description']}"


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
