"""The command line: exit codes, errors in three lines, one JSON document."""

import json
import os
import signal
import subprocess
import sys

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
        (["evaluate", "--env", "database", "--set", "env.databse.data=absent"], "did you mean 'database'?"),
        (["report", "x", "--out", "y", "--set", "env.count.seed=1"], "unknown setting 'report.env'"),
        (
            [
                "tune",
                "--data",
                "d",
                "--model",
                "m",
                "--env",
                "count",
                "--out",
                "x",
                "--set",
                "tune.evaluate.env.cout.length=1",
            ],
            "did you mean 'count'?",
        ),
        (
            ["rollout", "--env", "prompts", "--set", "rollout.first_task=9999", "--out", "x"],
            "the environment has none",
        ),
        (["evaluate", "--env", "database", "--set", "env.database.data=absent.jsonl"], "absent.jsonl"),
        (["evaluate", "--env", "database", "--model", "no/such/model/dir"], "no such directory"),
        (["evaluate", "--suite", "genral", "--model", "smollm2-135m"], "did you mean 'general'?"),
        (["evaluate", "--suite", "general", "--task", "gsm8", "--model", "m"], "did you mean 'gsm8k'?"),
        (
            ["evaluate", "--suite", "general", "--task", "gsm8k", "--model", "no/a/dir", "--out", "x"],
            "no such",
        ),
        (["evaluate", "--suite", "general", "--env", "count", "--model", "m"], "its own questions"),
        (["evaluate", "--suite", "general", "--tasks", "t.jsonl", "--model", "m"], "its own questions"),
        (["rollout", "--tasks", "t.jsonl", "--split", "test", "--out", "x"], "`split` cannot be given too"),
        (["rollout", "--tasks", "absent.jsonl", "--out", "x"], "No such file"),
        (["tasks", "--env", "cuont", "--split", "test", "--out", "x"], "did you mean 'count'?"),
        (["evaluate", "--task", "gsm8k"], "no suite is given"),
        (["evaluate", "--env", "count", "--policy", "expert", "--model", "random"], "each names the policy"),
        (["runs", "show", "x", "--most", "-1"], "the command line is wrong"),
        (["report", "--set", "report.out=x"], "give agentray report RUN, or --set report.runs="),
        (["serve", "--model", "m", "--name", "n", "--port", "0"], "greater than or equal to 1"),
        (
            ["evaluate", "--suite", "general", "--model", "m", "--data", "absent"],
            "'absent' is not a directory",
        ),
        (["filter", "--run", "absent", "--out", "x"], "does not exist"),
        (
            ["mix", "--agent", "absent", "--model", "smollm2-135m", "--out", "x", "--eta", "2"],
            "less than or equal",
        ),
        (["train", "--data", "absent", "--model", "smollm2-135m", "--out", "x"], "does not exist"),
        (["report", "absent", "--out", "x"], "does not exist"),
        (["report", "--out", "x"], "no run was given"),
        (["contamination", "--train", "absent.jsonl", "--test", "env:count/test"], "absent.jsonl"),
        (["contamination", "--train", "env:count/train", "--test", "env:count/tset"], "did you mean 'test'?"),
        (["export", "--run", "absent", "--format", "atif", "--out", "x"], "it does not exist"),
        (["export", "--run", ".", "--format", "atfi", "--out", "x"], "did you mean 'atif'?"),
        (["import", "--format", "openai", "--file", "absent.jsonl", "--out", "x"], "it does not exist"),
        (["import", "--format", "openai", "--file", "a", "--out", "x", "--reward", "nan"], "finite number"),
        (["import", "--file", "a", "--out", "x"], "it has no default"),
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


@pytest.mark.parametrize("command", ["rollout", "evaluate"])
def test_a_plan_without_a_task_is_refused_and_names_the_data(capsys, tmp_path, command):
    out, data = tmp_path / "out", tmp_path / "games"
    data.mkdir()
    code, _, err = call(
        capsys,
        command,
        "--env",
        "alfworld",
        "--set",
        f"env.alfworld.data={data}",
        "--split",
        "test",
        "--out",
        str(out),
    )
    assert code == 2 and not out.exists()
    assert all(part in err for part in ("alfworld", "'test'", str(data), "fix:"))


def test_an_output_directory_that_is_a_file_is_refused(capsys, tmp_path):
    taken = tmp_path / "file"
    taken.write_text("mine")
    for out in (taken, taken / "inside"):
        code, _, err = call(
            capsys, "rollout", "--env", "count", "--set", "rollout.num_workers=0", "--out", str(out)
        )
        assert code == 2 and f"cannot write to {str(out)!r}" in err and "fix: give another --out" in err
    assert taken.read_text() == "mine"


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
    assert {"database", "alfworld", "prompts"} <= set(json.loads(out)["environments"])


@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
def test_ctrl_c_exits_with_130_and_says_how_to_go_on(tmp_path, options):
    program = (
        "import signal, sys; from agentray.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); main(sys.argv[1:])"
    )
    endless = ["rollout", "--env", "count", "--num-tasks", "10000000", "--set", "rollout.num_workers=0"]
    command = [sys.executable, "-c", program, *endless, "--out", str(tmp_path / "out"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stderr.readline()  # its first sign of progress
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
    assert running.returncode == 130
    if options:
        assert json.loads(out)["error"]["type"] == "Interruption"
    else:
        assert out == "" and "error: interrupted" in err and "run the same command again" in err


def test_help_keeps_its_brackets(capsys):
    code, out, _ = call(capsys, "rollout", "--help")
    assert code == 0 and "--num-tasks" in out


@pytest.mark.parametrize("arguments", [["environments", "--json"], ["rollout", "--env", "nope", "--json"]])
def test_a_reader_that_goes_away_gets_no_traceback(arguments, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "agentray", *arguments]
    with os.fdopen(writer) as stdout:
        done = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path
        )
    assert (done.returncode, done.stderr) == (1, "")
