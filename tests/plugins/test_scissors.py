"""A third party's transforms: found, checked, chained and resumed through their entry points alone."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from endpoint import served
from fakes import stored_run, trajectory
from installed import installed

from agentray.data.store import read_run
from agentray.types import Reply, Turn

SCISSORS = Path(__file__).parent / "scissors"
LONG = tuple(Turn(Reply(f"Action: {number} — größer 数"), str(number), "More.") for number in range(5))
MADE = [
    trajectory(0, turns=LONG),
    trajectory(1),
    trajectory(2, status="truncated", reward=0.0, error="5 turns"),
    trajectory(3, status="failed", reward=None, turns=(), error="it broke"),
    trajectory(4, reward=None),
]


@pytest.fixture
def transform(tmp_path):
    """Runs `agentray transform` where the distribution is installed."""
    environment = installed(SCISSORS, tmp_path / "site")
    stored_run(tmp_path / "run", MADE)

    def run(*names, settings=(), more=(), out="out"):
        command = [sys.executable, "-m", "agentray", "transform", "--run", str(tmp_path / "run")]
        command += [part for name in names for part in ("--apply", name)]
        command += [part for each in settings for part in ("--set", f"transform.{each}")]
        command += ["--out", str(tmp_path / out), "--json", *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    return run


def test_a_plugin_stands_in_a_chain_with_ours(transform, tmp_path):
    code, found = transform("scissors", "completed", settings=["settings.scissors.most=2"])
    assert code == 0, found
    assert (found["read"], found["kept"]) == (5, 3)
    assert found["rejected"] == {"scissors": {"nothing_to_cut": 1}, "completed": {"truncated": 1}}
    kept = {each.key: each for each in read_run(tmp_path / "out").trajectories}
    assert kept[MADE[0].key].turns == LONG[:2]
    assert kept[MADE[1].key] == MADE[1] and kept[MADE[4].key] == MADE[4]
    lines = [json.loads(each) for each in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    assert {
        "key": MADE[3].key,
        "step": "scissors",
        "reason": "nothing_to_cut",
        "detail": "it failed",
    } in lines


def test_what_a_policy_answered_before_a_death_is_not_asked_again(transform, tmp_path):
    ledger, dies = tmp_path / "ledger", tmp_path / "dies"
    dies.write_text("3")
    bad = MADE[1].key
    settings = [f"settings.labels.ledger='{ledger}'", f"settings.labels.dies_after='{dies}'", "in_flight=1"]
    with served(lambda messages: "bad" if bad in messages[-1]["content"] else "0.5") as (url, requests):
        chain = ["--policy", url, "--model", "scripted"]
        code, _ = transform("labels", "completed", settings=settings, more=chain)
        assert code == 9 and not (tmp_path / "out" / "manifest.json").exists()
        dies.unlink()
        code, found = transform("labels", "completed", settings=settings, more=chain)
        assert code == 0, found
        assert (found["read"], found["kept"], found["reused"]) == (5, 2, 3)
        assert found["rejected"] == {"labels": {"bad": 1}, "completed": {"failed": 1, "truncated": 1}}
        assert transform("labels", "completed", settings=settings, more=chain) == (0, found)
    asked = Counter(ledger.read_text().splitlines())
    assert sorted(asked.values()) == [1, 1, 1, 1, 2], "only the one that was open at the death"
    assert len(requests) == 6
    kept = read_run(tmp_path / "out").trajectories
    assert [each.metrics["label"] for each in kept] == [0.5, 0.5]
    assert not (tmp_path / "out" / "outcomes.jsonl").exists()


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("scissor", (), ["unknown transform 'scissor'", "did you mean 'scissors'"]),
        (
            "scissors",
            ("settings.scissors.mots=2",),
            ["transform.settings.scissors.mots", "did you mean 'most'"],
        ),
        ("scissors", ("settings.scissors.most='x'",), ["transform.settings.scissors.most", "'x'"]),
        ("scissors", ("settings.scisors.most=2",), ["'scisors', which is not applied", "'scissors'"]),
        ("labels", (), ["transform.settings.labels.ledger", "missing"]),
        ("stray", (), ["'stray' is not a transform", "subclass"]),
        ("broken", (), ["'broken' cannot be imported", "agentray-scissors"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(transform, tmp_path, name, settings, words):
    code, found = transform(name, settings=settings)
    text = " ".join(found["error"].values())
    assert code in (1, 2) and all(word in text for word in words), text
    assert not (tmp_path / "out").exists()


def test_a_transform_that_returns_nonsense_is_named_with_the_attempt(transform):
    code, found = transform("nonsense")
    assert code == 1
    assert found["error"]["what"] == f"transform 'nonsense' failed on {MADE[0].key!r}"
    assert "7" in found["error"]["why"]


def test_a_transform_that_asks_nobody_says_what_to_give(transform, tmp_path):
    code, found = transform("labels", settings=[f"settings.labels.ledger='{tmp_path / 'ledger'}'"])
    assert code == 2 and "--policy" in found["error"]["fix"]
