import hashlib
import itertools
import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from itertools import islice

import pytest

from agentray.types import SPLITS
from agentray_database.generator import generate
from agentray_database.generator.pools import Pools, load, share
from agentray_database.generator.wording import spoken


@pytest.fixture(scope="module")
def tasks():
    return {split: list(islice(generate(split), 400)) for split in SPLITS}


def test_every_list_is_dealt_out_without_overlap():
    phrases = load("phrases.toml")
    lists = [words.split(",") for words in load("words.toml").values()]
    lists += [domain["tables"] for domain in load("domains.toml").values() if "split" not in domain]
    lists += [
        patterns for section in ("insert", "update", "select") for patterns in phrases[section].values()
    ]
    for items in lists:
        items = list(dict.fromkeys(item.strip() for item in items))
        shares = [share(items, split) for split in SPLITS]
        assert all(shares) and sorted(itertools.chain(*shares)) == sorted(items)


def test_splits_share_no_task_table_or_question(tasks):
    for key in ("fingerprint", "table", "question"):
        seen = [{getattr(t, key, None) or t.data.get(key) for t in tasks[split]} for split in SPLITS]
        assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


def test_names_of_one_split_are_made_of_its_own_words():
    first = {
        split: set(share([w.strip() for w in load("words.toml")["first"].split(",")], split))
        for split in SPLITS
    }
    assert not first["train"] & first["test"] and not first["train"] & first["validation"]
    assert Pools("test").split == "test"


def test_some_domains_are_held_out_for_evaluation():
    splits = Counter(domain.get("split", "all") for domain in load("domains.toml").values())
    assert splits["all"] >= 30 and splits["test"] >= 3 and splits["validation"] >= 2 and "train" not in splits


def test_a_seed_repeats_and_another_differs():
    first, again, other = (list(islice(generate("train", seed), 5)) for seed in (0, 0, 1))
    assert first == again
    assert not {task.fingerprint for task in first} & {task.fingerprint for task in other}


def test_kinds_are_thirds_and_every_category_occurs(tasks):
    kinds = Counter(task.data["kind"] for task in tasks["train"])
    assert all(0.25 < kinds[kind] / 400 < 0.42 for kind in ("select", "insert", "update"))
    assert len({task.data["category"] for task in tasks["train"]}) == 10


def test_every_value_in_a_statement_stands_in_the_question(tasks):
    for task in (task for split in SPLITS for task in tasks[split]):
        for literal in re.findall(r"'((?:[^'\\]|''|\\.)*)'", task.data["sql"].replace("',', ''", "")):
            value = literal.replace("''", "'").replace("\\\\", "\\").strip("%")
            assert value.lower() in task.data["question"].lower(), (value, task.data["question"])


def test_statements_quote_every_name_and_value(tasks):
    for task in tasks["train"]:
        sql = re.sub(r"'(?:[^'\\]|''|\\.)*'|`[^`]*`", "", task.data["sql"])
        assert not set(re.findall(r"[a-z]+", sql)), task.data["sql"]


def test_conversations_are_short(tasks):
    lengths = [
        len(t.data["question"] + t.data["description"] + t.data["sql"] + t.data["thought"])
        for t in tasks["train"]
    ]
    assert statistics.median(lengths) / 3.2 < 170, "in tokens of about 3.2 characters"


def test_tasks_are_plain_json(tasks):
    for task in tasks["validation"]:
        assert json.loads(json.dumps(task.data)) == task.data


def test_headers_are_spoken_as_people_say_them():
    spoken_headers = {
        "Area (km²)": "area",
        "Pts": "points",
        "Home team": "home team",
        "ERP W": "ERP W",
        "year_built": "year built",
    }
    assert {header: spoken(header) for header in spoken_headers} == spoken_headers


FIRST = {
    ("free", "train"): "6123199c4bacab14",
    ("free", "validation"): "698f325bb56a332b",
    ("free", "test"): "e2d2ead518352ad8",
    ("plain", "train"): "039d94c47a1a4fc7",
    ("plain", "validation"): "14d8f85fcb3f15f4",
    ("plain", "test"): "fedb16a39105870d",
}
"""Digest of the first 200 tasks. Others are another version of the environment: `Database.version`."""


@pytest.mark.parametrize(("requests", "split"), FIRST)
def test_the_tasks_are_those_of_this_version(requests, split):
    whole = hashlib.sha256()
    for task in islice(generate(split, requests=requests), 200):
        row = [task.id, task.split, task.data, task.fingerprint]
        whole.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode())
    assert whole.hexdigest()[:16] == FIRST[requests, split]


def test_the_environment_does_not_load_the_generator():
    code = "import agentray_database, sys; agentray_database.Database().make(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "agentray_database.environment.engine" in loaded
    assert not [name for name in loaded if name.startswith("agentray_database.generator")]
