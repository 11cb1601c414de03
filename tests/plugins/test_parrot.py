"""A third party's policies: found, checked and used through their entry points alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from installed import installed

from agentray.data.store import read_run

PARROT = Path(__file__).parent / "parrot"


@pytest.fixture
def rollout(tmp_path):
    """Runs `agentray rollout` where the distribution is installed."""
    environment = installed(PARROT, tmp_path / "site")

    def run(policy, *settings, out="run", workers=0):
        command = [sys.executable, "-m", "agentray", "rollout", "--env", "count", "--policy", policy]
        command += ["--num-tasks", "4", "--out", str(tmp_path / out), "--json"]
        for each in (*settings, f"num_workers={workers}", "in_flight=1", "env.count.length=3"):
            command += ["--set", each if each.startswith("env.") else f"rollout.{each}"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


def test_a_policy_gets_its_settings_and_the_environments_info(rollout, tmp_path):
    done = rollout("parrot", "policy_settings.phrase='Action: 7,'", "env.count.max_turns=2")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["completed"] == 4
    replies = {turn.reply.text for each in read_run(tmp_path / "run").trajectories for turn in each.turns}
    assert replies == {"Action: 7, []"}


@pytest.mark.parametrize(
    ("policy", "setting", "words"),
    [
        ("parrot", "policy_settings.phrases='hi'", ["policy_settings.phrases", "did you mean 'phrase'"]),
        ("parrot", "policy_settings.phrase=7", ["policy_settings.phrase", "7"]),
        ("teacher", "policy_settings.dies_after=1", ["policy_settings.ledger", "missing"]),
        ("expert", "policy_settings.phrase='hi'", ["policy_settings.phrase"]),
        ("http://127.0.0.1:9/v1", "policy_settings.phrase='hi'", ["takes no policy_settings", "phrase"]),
        ("parot", "policy_settings={}", ["parot", "did you mean 'parrot'"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(rollout, tmp_path, policy, setting, words):
    done = rollout(policy, setting)
    assert done.returncode == 2, done.stderr
    error = json.loads(done.stdout)["error"]
    text = " ".join(str(value) for value in error.values()) if isinstance(error, dict) else str(error)
    assert all(word in text for word in words), text
    assert not (tmp_path / "run").exists()


def paid_for(ledger):
    lines = ledger.read_text().splitlines()
    assert len(lines) == 4 * 3
    assert len(set(lines)) == len(lines), "a reply was paid for twice"


def test_a_teacher_that_knows_its_task_is_never_paid_twice_over_a_restart(rollout, tmp_path):
    ledger = tmp_path / "ledger"
    settings = f"policy_settings={{ledger = '{ledger}', dies_after = 5}}"
    assert rollout("teacher", settings).returncode == -9
    done = rollout("teacher", settings)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["completed"], summary["resumed"], summary["replayed_turns"]) == (4, 1, 2)
    paid_for(ledger)


@pytest.mark.ray
def test_a_teacher_that_knows_its_task_is_never_paid_twice_when_its_worker_dies(rollout, tmp_path):
    ledger = tmp_path / "ledger"
    done = rollout("teacher", f"policy_settings={{ledger = '{ledger}', dies_after = 5}}", workers=1)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["completed"], summary["lost_workers"], summary["replayed_turns"]) == (4, 1, 2)
    paid_for(ledger)
