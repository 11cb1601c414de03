"""A third party's benchmark: found, asked, stored and scored through its entry point alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from endpoint import served
from installed import installed
from synthetic import write

CAPITALS = Path(__file__).parent / "capitals"


@pytest.fixture
def evaluate(tmp_path):
    """Runs `agentray evaluate --suite` where the distribution is installed: exit status, and its document."""
    environment = installed(CAPITALS, tmp_path / "site")

    def run(suite, url, *arguments):
        command = [sys.executable, "-m", "agentray", "evaluate", "--suite", suite, "--policy", url]
        command += ["--out", str(tmp_path / "out"), "--json", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def test_a_benchmark_is_asked_resumed_and_scored(evaluate, tmp_path):
    rows = [{"country": "Peru", "capital": "Lima"}, {"country": "Cuba", "capital": "Havana"}]
    write(tmp_path / "data" / "capitals" / "capitals.jsonl", rows)
    with served(lambda messages: "It is Lima.") as (url, requests):
        code, document = evaluate("capitals", url, "--data", tmp_path / "data")
        again = evaluate("capitals", url, "--data", tmp_path / "data")[1]
    row = document["tasks"]["capitals"]
    assert (code, row["score"], row["n"], row["scale"]) == (0, 50.0, 2, "0-100") and len(requests) == 2
    assert again["tasks"] == document["tasks"]


def test_one_without_data_or_that_cannot_be_imported_says_what_to_do(evaluate, tmp_path):
    code, document = evaluate("capitals", "http://127.0.0.1:9/v1", "--set", "evaluate.model=m")
    assert code == 2 and "capitals.jsonl" in document["error"]["why"]
    code, document = evaluate("broken", "http://127.0.0.1:9/v1", "--set", "evaluate.model=m")
    assert code == 1 and "pip install agentray-capitals" in document["error"]["fix"]
    assert not (tmp_path / "out").exists()
