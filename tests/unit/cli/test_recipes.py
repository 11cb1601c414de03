"""`agentray run` as it is typed."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from agentray.cli import recipes
from agentray.cli.app import app
from agentray.recipes.run import RecipeSummary, StageResult

LOOP = """
[settings]
num = 5
[stages.played]
run = "rollout"
envs = ["count"]
num_tasks = "{num}"
num_workers = 0
[stages.scored]
run = "evaluate"
envs = ["count"]
num_tasks = 3
num_workers = 0
[results]
played = "{played.kept}"
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "loop.toml"
    path.write_text(LOOP.replace("played =", '"played.txt" ='))
    return str(path)


def test_progress_goes_to_stderr_and_one_document_to_stdout(recipe, tmp_path):
    done = CliRunner().invoke(app, ["run", recipe, "--out", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [each["name"] for each in document["stages"]] == ["played", "scored"]
    assert {"name", "wall_s", "out"} <= set(document["stages"][0])
    played, scored = done.stderr.splitlines()
    assert played.startswith("played ") and "completed 5" in played
    assert scored.startswith("scored ") and "count 1" in scored


def test_without_json_there_is_a_table_and_what_the_recipe_leaves(recipe, tmp_path):
    done = CliRunner().invoke(app, ["run", recipe, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "played.txt: 5" in done.stdout and "seconds" in done.stdout
    again = CliRunner().invoke(app, ["run", recipe, "--out", str(tmp_path / "out")])
    assert "up to date" in again.stdout


def test_a_dry_run_prints_every_stage_and_writes_nothing(recipe, tmp_path):
    done = CliRunner().invoke(
        app, ["run", recipe, "--out", str(tmp_path / "out"), "--dry-run", "--set", "loop.num=7"]
    )
    stages = json.loads(done.stdout)["stages"]
    assert [(each["name"], each["settings"]["num_tasks"]) for each in stages] == [
        ("played", 7),
        ("scored", 3),
    ]
    assert not (tmp_path / "out").exists()


def test_the_quickstart_is_a_recipe(tmp_path):
    arguments = ["quickstart", "--out", str(tmp_path / "out"), "--dry-run", "--set", "quickstart.num_steps=3"]
    stages = json.loads(CliRunner().invoke(app, arguments).stdout)["stages"]
    assert next(each["settings"]["num_steps"] for each in stages if each["name"] == "train") == 3


def test_a_benchmark_that_is_not_there_is_refused_at_once(tmp_path):
    records = tmp_path / "absent.jsonl"
    arguments = ["quickstart", "--out", str(tmp_path / "out"), "--set", f"quickstart.benchmark={records}"]
    done = subprocess.run(
        [sys.executable, "-m", "agentray", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and "absent.jsonl" in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_proposed_can_be_typed(tmp_path, monkeypatch):
    script = tmp_path / "bin dir" / "agentray"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    stage = StageResult("train", "train", "done", None, 1.0, {})
    summary = RecipeSummary("loop", "runs/x", 1.0, 0, [stage], {"model": "runs/x/train/model"})
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(script), "quickstart"])
    assert recipes.serve_command(summary) == f"'{script}' serve --model runs/x/model --port 8000"
    monkeypatch.setenv("PATH", str(script.parent))
    assert recipes.serve_command(summary).startswith("agentray serve")
    monkeypatch.setattr(sys, "argv", ["/somewhere/agentray/__main__.py", "quickstart"])
    command = recipes.serve_command(summary).partition(" serve")[0] + " version"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip()
