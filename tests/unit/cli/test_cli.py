"""The command line: exit codes, errors in three lines, one JSON document."""

import json

import pytest

from agentray.cli import main


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rollout", "--env", "databse", "--out", "x"], "did you mean 'database'?"),
        (
            ["rollout", "--env", "database", "--policy", "smollm", "--out", "x"],
            "did you mean 'smollm2-135m'?",
        ),
        (
            ["rollout", "--env", "database", "--out", "x", "--split", "tset"],
            "'train', 'validation' or 'test'",
        ),
        (["rollout", "--env", "database"], "it has no default"),
        (["evaluate", "--env", "database", "--set", "env.database.data=absent.jsonl"], "absent.jsonl"),
        (["evaluate", "--env", "database", "--model", "no/such/model/dir"], "no such directory"),
        (["filter", "--run", "absent", "--out", "x"], "does not exist"),
        (
            ["mix", "--agent", "absent", "--model", "smollm2-135m", "--out", "x", "--eta", "2"],
            "less than or equal",
        ),
        (["train", "--data", "absent", "--model", "smollm2-135m", "--out", "x"], "does not exist"),
        (["report", "absent", "--out", "x"], "does not exist"),
        (["report", "--out", "x"], "no run was given"),
        (["models", "fetch", "smollm3"], "smollm2-135m"),
        (["rollout", "--bogus"], "the command line is wrong"),
        (["rolout"], "the command line is wrong"),
    ],
)
def test_a_wrong_call_prints_three_lines_and_writes_nothing(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert [line.split(":")[0].strip() for line in err.strip().splitlines()][0::1][:3] == [
        "error",
        "why",
        "fix",
    ]
    assert list(tmp_path.iterdir()) == []


def test_with_json_an_error_is_one_document_on_stdout(capsys):
    code, out, err = call(capsys, "rollout", "--env", "databse", "--out", "x", "--json")
    assert (code, err) == (2, "")
    assert json.loads(out)["error"]["type"] == "UsageError"


def test_a_dry_run_prints_the_resolved_settings_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(capsys, "rollout", "--env", "count", "--out", "x", "--num-tasks", "3", "--dry-run")
    assert code == 0
    assert json.loads(out)["settings"]["num_tasks"] == 3
    assert list(tmp_path.iterdir()) == []


def test_the_environments_are_listed(capsys):
    code, out, _ = call(capsys, "environments", "--json")
    assert code == 0
    assert {"database", "alfworld", "general"} <= set(json.loads(out)["environments"])


def test_help_keeps_its_brackets(capsys):
    code, out, _ = call(capsys, "rollout", "--help")
    assert code == 0 and "--num-tasks" in out
