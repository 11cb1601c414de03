"""A training method of another distribution works through its entry point alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from installed import installed
from tiny import save_llama

HERE = Path(__file__).parent


def agentray(environment, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "agentray", *map(str, arguments), "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Environment variables, and the options of a training of a tiny random model."""
    root = tmp_path_factory.mktemp("replay")
    environment = installed(HERE / "replay", root / "site-packages")
    model = save_llama(root / "model")
    for name, text in (("tasks", "Yes."), ("chats", "Hello!")):
        turns = [
            [{"role": "user", "content": f"Hi {i}"}, {"role": "assistant", "content": text}] for i in range(8)
        ]
        lines = [json.dumps({"messages": each}) for each in turns]
        (root / f"{name}.jsonl").write_text("\n".join(lines))
    files = ["--agent", root / "tasks.jsonl", "--general", root / "chats.jsonl"]
    done = agentray(environment, "mix", *files, "--model", model, "--eta", "0.5", "--out", root / "mix")
    assert done.returncode == 0, done.stderr
    small = ["--set", "train.batch_size=4", "--set", "train.precision=float32", "--set", "train.zero_stage=0"]
    return environment, ["train", "--data", root / "mix", "--model", model, "--num-steps", "2", *small]


@pytest.mark.ray
@pytest.mark.deepspeed
def test_a_method_of_another_distribution_trains(mixed, tmp_path):
    environment, train = mixed
    method = ["--set", "train.method.name=replay", "--set", "train.method.pull=0.1"]
    done = agentray(environment, *train, *method, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["num_steps"] == 2 and set(summary["validation_after"]) == {"chats"}
    assert (tmp_path / "run" / "model" / "replay.txt").read_text() == "weight 0.5\n"
    identity = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert identity["method"] == {"name": "replay", "general_weight": 0.5, "pull": 0.1}


def test_its_settings_are_checked_before_anything_is_written(mixed, tmp_path):
    environment, train = mixed
    wrong = ["--set", "train.method.name=replay", "--set", "train.method.pul=1"]
    done = agentray(environment, *train, *wrong, "--out", tmp_path / "run")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 2 and error["what"] == "unknown setting 'train.method.pul'"
    assert "did you mean 'pull'?" in error["why"]
    assert not (tmp_path / "run").exists()


def test_without_the_distribution_the_method_is_unknown(mixed, tmp_path):
    environment, train = mixed
    bare = {**environment, "PYTHONPATH": environment["PYTHONPATH"].partition(":")[2]}
    done = agentray(bare, *train, "--set", "train.method=replay", "--out", tmp_path / "run")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 2 and "accepted: distill, full" in error["why"]
