"""The quickstart as a user types it, with real weights, in a small size."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.ray, pytest.mark.deepspeed, pytest.mark.network]
SMALL = {
    "num_database": 24,
    "num_alfworld": 4,
    "num_general": 20,
    "num_steps": 4,
    "batch_size": 8,
    "num_test": 4,
}
RECORD = {
    "description": "Which town has the museum?",
    "label": ["Oslo"],
    "table": {
        "table_name": "museums",
        "table_info": {
            "columns": [{"name": "town", "type": "TEXT"}, {"name": "museum", "type": "TEXT"}],
            "rows": [["Oslo", "yes"], ["Bergen", "no"]],
        },
    },
    "type": ["other"],
    "add_description": "",
}
"""A benchmark of one record, in AgentBench's form."""


def agentray(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "agentray", *arguments], capture_output=True, text=True, timeout=540
    )


@pytest.mark.timeout(600)
def test_the_quickstart_reports_every_stage_and_leaves_a_model_to_serve(tmp_path):
    out = tmp_path / "run"
    benchmark = tmp_path / "records.jsonl"
    benchmark.write_text(json.dumps(RECORD) + "\n")
    sizes = {**SMALL, "benchmark": benchmark}
    sets = [part for key, value in sizes.items() for part in ("--set", f"quickstart.{key}={value}")]
    done = agentray("quickstart", "--out", str(out), "--json", *sets)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    names = [stage["name"] for stage in report["stages"]]
    assert names == [
        "household",
        "weights",
        "database",
        "general",
        "before",
        "benchmark_before",
        "filter",
        "mix",
        "train",
        "after",
        "benchmark_after",
    ]
    announced, *ended = [line for line in done.stderr.splitlines() if " left" in line or "GFLOP/s" in line]
    assert "this takes about" in announced
    assert [line[:17].strip() for line in ended] == names[:-1]
    assert report["pace"]["cut"] == {}
    assert set(report["scores"]) == {"database", "alfworld"}
    assert all(score["n"] == 4 for score in report["scores"].values())
    assert {"before_nll", "after_nll"} == set(report["general"])
    assert report["pairs"][0]["scores"]["database"]["n"] == 1
    assert report["peak_memory_bytes"] > 10**9
    stored = json.loads((out / "report.json").read_text())
    assert report == stored | {"serve_command": report["serve_command"]}  # as this program was called
    assert "<html" in (out / "report.html").read_text()
    again = agentray(
        "evaluate", "--env", "database", "--num-tasks", "2", "--model", str(out / "model"), "--json"
    )
    assert again.returncode == 0, again.stderr[-3000:]
    assert json.loads(again.stdout)["scores"]["database"]["n"] == 2
