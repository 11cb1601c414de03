import itertools
import json
import re
import statistics
from collections import Counter
from itertools import islice

import pytest

from agentray.types import SPLITS
from agentray_database.generator import generate
from agentray_database.pools import Pools, load, share
from agentray_database.wording import spoken


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
