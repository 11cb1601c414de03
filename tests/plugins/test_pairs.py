"""A third party's formats: found, read, written and told apart through their entry points alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import stored_run, trajectory
from installed import installed

from agentray.data.store import read_run
from agentray.types import Message, Reply, Turn

PAIRS = Path(__file__).parent / "pairs"
SHORT = trajectory(0, prompt=(Message("user", "2+2?"),), turns=(Turn(Reply("4"), None, "", 1.0),))
WRITTEN = {"pairs": '{"question":"2+2?","answer":"4"}\n', "tsv": "2+2?\t4\n"}


@pytest.fixture
def agentray(tmp_path):
    """Runs a command where the distribution is installed: exit status, and its document."""
    environment = installed(PAIRS, tmp_path / "site")

    def run(*arguments):
        command = [sys.executable, "-m", "agentray", *map(str, arguments), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout), done.stderr

    return run


@pytest.mark.parametrize("name", WRITTEN)
def test_a_run_goes_out_and_comes_back(agentray, tmp_path, name):
    run = stored_run(tmp_path / "run", [SHORT, trajectory(1)])
    file, out = tmp_path / "file", tmp_path / "back"
    code, summary, _ = agentray("export", "--run", run, "--format", name, "--out", file)
    assert (code, summary["written"], summary["refused"]) == (0, 1, {"roles_do_not_alternate": 1})
    assert file.read_text() == WRITTEN[name]
    code, summary, said = agentray("import", "--format", name, "--file", file, "--out", out, "--reward", 1)
    assert (code, summary["kept"], summary["rejected"]) == (0, 1, {}) and "import: 1/1" in said
    [back] = read_run(out).trajectories
    assert (back.prompt, back.turns, back.reward) == (SHORT.prompt, SHORT.turns, 1.0)


def test_its_records_are_told_from_others_and_a_broken_format_is_only_named(agentray, tmp_path):
    chats = tmp_path / "chats.jsonl"
    chats.write_text(WRITTEN["pairs"] + '{"prompt": "a", "completion": "b"}\n')
    code, summary, _ = agentray("contamination", "--train", chats, "--test", "env:count/test")
    assert code == 0 and summary["training"]["chats"]["documents"] == 2
    code, document, _ = agentray("import", "--format", "broken", "--file", chats, "--out", tmp_path / "x")
    assert code == 1 and "pip install agentray-pairs" in document["error"]["fix"]
    assert not (tmp_path / "x").exists()


def test_the_doctor_names_what_is_broken_and_lists_the_rest(agentray):
    _, document, _ = agentray("doctor")
    checks = {each["name"]: each for each in document["checks"]}
    formats = checks["formats"]
    assert not formats["ok"] and formats["fix"] == "install what it needs: pip install agentray-pairs"
    assert "openai, pairs, sharegpt, tsv; format 'broken' cannot be imported" in formats["detail"]
    assert checks["policies"]["ok"] and "expert" in checks["policies"]["detail"]
