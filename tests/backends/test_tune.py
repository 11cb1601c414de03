"""A sweep on a real Ray Tune, with real training and a real engine, on a tiny random model."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.ray, pytest.mark.deepspeed, pytest.mark.network]


def agentray(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "agentray", *arguments, "--json"], capture_output=True, text=True, timeout=420
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(600)
def test_a_sweep_trains_and_scores_every_eta_on_one_corpus(tmp_path):
    chats = [
        {"messages": [{"role": "user", "content": f"Hi {i}"}, {"role": "assistant", "content": "Hello!"}]}
        for i in range(20)
    ]
    (tmp_path / "chats.jsonl").write_text("\n".join(json.dumps(each) for each in chats))
    agentray("rollout", "--env", "count", "--num-tasks", "20", "--out", str(tmp_path / "rollout"))
    agentray("filter", "--run", str(tmp_path / "rollout"), "--out", str(tmp_path / "filter"))
    mixed = ["--agent", str(tmp_path / "filter"), "--general", str(tmp_path / "chats.jsonl")]
    agentray("mix", *mixed, "--model", "smollm2-135m", "--out", str(tmp_path / "mix"))
    sweep = ["tune", "--data", str(tmp_path / "mix"), "--model", "smollm2-135m", "--env", "count"]
    sweep += ["--eta", "0", "--eta", "1", "--out", str(tmp_path / "tune")]
    sweep += ["--set", "tune.train.num_steps=2", "--set", "tune.train.batch_size=4"]
    sweep += ["--set", "tune.evaluate.num_tasks=4", "--set", "tune.evaluate.engine.max_model_len=512"]
    found = agentray(*sweep)
    assert set(found["trials"]) == {"0", "1"}
    assert found["recommended_eta"] in (0.0, 1.0)
    assert all(trial["scores"]["count"] is not None for trial in found["trials"].values())
    assert (tmp_path / "tune" / "plot.svg").read_text().startswith("<svg")
    table = json.loads((tmp_path / "tune" / "table.json").read_text())
    assert [each["settings"] for each in table] == [{"train.eta": 0.0}, {"train.eta": 1.0}]
    assert (tmp_path / "tune" / "table.txt").read_text().count("\n") == 3
    assert {each.name for each in (tmp_path / "tune").glob("eta-*")} == {"eta-0", "eta-1"}
    assert agentray(*sweep) == found
    assert not list((tmp_path / "tune").rglob("corpus.parquet"))
