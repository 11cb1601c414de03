"""Environments of third parties, found through their entry points alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from installed import ROOT, installed

HERE = Path(__file__).parent


@pytest.fixture
def agentray(tmp_path):
    """The command line where some distributions of this folder are installed."""

    variables = {}

    def call(*arguments, plugins=("guess",), module="agentray"):
        site = tmp_path / "-".join(plugins)
        if not site.exists():
            for name in plugins:
                variables[plugins] = installed(HERE / name, site)
        command = [sys.executable, "-m", module, *map(str, arguments)]
        done = subprocess.run(command, env=variables[plugins], cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return call


def test_it_is_listed_and_keeps_the_contract(agentray, tmp_path):
    code, out, _ = agentray("environments", "--json")
    listed = json.loads(out)
    assert code == 0 and listed["skipped"] == {}
    row = {"family": "held_in", "turns": 16, "description": "Find a number by halving what is left"}
    assert listed["environments"]["guess"] == row
    check = "from agentray.env import *; check_environment(resolve('guess'))"
    (tmp_path / "check.py").write_text(check)
    code, _, err = agentray(module="check")
    assert code == 0, err


def test_its_tasks_are_written_and_played_by_its_expert(agentray, tmp_path):
    file = tmp_path / "tasks.jsonl"
    code, out, err = agentray(
        "tasks", "--env", "guess", "--split", "test", "--num", 5, "--out", file, "--json"
    )
    assert code == 0, err
    assert json.loads(out) == {"out": str(file), "num_tasks": {"guess": 5}}
    local = ["--set", "rollout.num_workers=0", "--json"]
    code, out, err = agentray("rollout", "--tasks", file, "--out", "run", *local)
    assert code == 0, err
    assert json.loads(out)["mean_reward"] == {"guess": 1.0} and json.loads(out)["completed"] == 5
    code, _, err = agentray("rollout", "--tasks", file, "--out", "other", "--policy", "random", *local[:-1])
    assert code == 2 and "error: environment 'guess' has no random replies" in err and "fix: " in err
    assert not (tmp_path / "other").exists()


def test_plugins_that_cannot_be_used_are_named_and_skipped_and_refused_where_they_are_asked_for(agentray):
    both = ("guess", "broken_game")
    code, out, err = agentray("environments", "--json", plugins=both)
    listed = json.loads(out)
    assert code == 0 and "guess" in listed["environments"], err
    assert set(listed["skipped"]) == {"broken", "old", "needy"}
    assert "No module named 'browser'" in listed["skipped"]["broken"]
    assert "not a subclass of agentray.env.TextEnvironment" in listed["skipped"]["old"]
    code, out, _ = agentray("environments", plugins=both)
    assert code == 0 and "skipped broken: " in out
    for name, what in (
        ("broken", "environment 'broken' cannot be imported"),
        ("old", "environment 'old' cannot be built"),
        ("needy", "setting 'env.needy.address' is missing"),
    ):
        code, _, err = agentray("rollout", "--env", name, "--out", "run", plugins=both)
        assert code in (1, 2) and err.startswith(f"error: {what}"), err
        assert len(err.strip().splitlines()) == 3


def test_two_environments_of_one_name_are_an_error(agentray, tmp_path):
    code, _, err = agentray("rollout", "--env", "count", "--out", "run", plugins=("other_count",))
    assert code == 2 and "two plugins are the environment 'count'" in err
    assert "agentray and agentray-other-count both register it" in err and "pip uninstall" in err
    assert not (tmp_path / "run").exists()
    code, out, _ = agentray("environments", "--json", plugins=("other_count",))
    assert code == 0 and list(json.loads(out)["skipped"]) == ["count"]


def test_the_example_of_the_documentation_is_this_one():
    page = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
    for name in ("agentray_guess.py", "pyproject.toml"):
        text = (HERE / "guess" / name).read_text(encoding="utf-8")
        assert f"\n{text}```\n" in page
