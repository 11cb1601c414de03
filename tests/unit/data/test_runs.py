import json

import pytest
from fakes import trajectory

from agentray.data.journal import entries
from agentray.data.runs import PLAN, pass_at_k, show
from agentray.data.store import RunStore
from agentray.errors import UsageError


def planned(directory, number):
    directory.mkdir(exist_ok=True)
    (directory / PLAN).write_text(json.dumps({"planned": number, "envs": ["count"], "env": {}}))


def count(status):
    return status.completed + status.truncated + status.failed + status.running + status.waiting


def test_the_counts_add_up_at_any_moment_of_a_run(tmp_path):
    planned(tmp_path, 10)
    with RunStore(tmp_path, segment_rows=3) as store:
        assert (show(tmp_path, {"count": 1.0}).waiting, count(show(tmp_path, {"count": 1.0}))) == (10, 10)
        for index in range(6):
            made = entries(trajectory(index, reward=float(index % 2)))
            for entry in made:
                store.commit([entry])
                assert count(show(tmp_path, {"count": 1.0})) == 10
        store.commit(entries(trajectory(6, status="failed", reward=None, error="it broke", turns=())))
        store.commit(entries(trajectory(7))[:2])
        found = show(tmp_path, {"count": 1.0})
        assert (found.completed, found.failed, found.running, found.waiting, found.kept) == (6, 1, 1, 2, 3)
        assert found.owner and "process" in found.owner
        assert (found.slowest[0].key, found.slowest[0].num_turns) == (trajectory(7).key, 1)
        assert found.failures == {trajectory(6).key: "it broke"}
        assert found.mean_reward == {"count": 0.5}
    closed = show(tmp_path, {"count": 1.0})
    assert closed.owner is None and count(closed) == 10


def test_a_failed_attempt_that_runs_again_counts_once(tmp_path):
    planned(tmp_path, 1)
    with RunStore(tmp_path) as store:
        store.commit(entries(trajectory(0, status="failed", reward=None, error="it broke", turns=())))
    with RunStore(tmp_path, retry_failed=True) as store:
        store.commit(entries(trajectory(0))[:1])
        found = show(tmp_path, {"count": 1.0})
        assert (found.failed, found.running, count(found)) == (0, 1, 1)
        store.commit(entries(trajectory(0))[1:])
    found = show(tmp_path, {"count": 1.0})
    assert (found.completed, found.failed, count(found)) == (1, 0, 1)


def test_several_samples_a_task_give_pass_at_k_and_best_of_n(tmp_path):
    planned(tmp_path, 8)
    rewards = {(0, 0): 0.0, (0, 1): 1.0, (0, 2): 0.0, (0, 3): 0.0, (1, 0): 1.0, (1, 1): 1.0}
    with RunStore(tmp_path) as store:
        for task in (0, 1):
            for sample in range(4):
                reward = rewards.get((task, sample), 0.0)
                store.commit(entries(trajectory(task, sample=sample, seed=9 * sample + task, reward=reward)))
    found = show(tmp_path, {"count": 1.0})
    assert found.pass_at == {"1": pytest.approx((1 / 4 + 2 / 4) / 2), "2": pytest.approx(2 / 3), "4": 1.0}
    assert found.best_of == {"1": 0.5, "2": 1.0, "4": 1.0}


@pytest.mark.parametrize(("correct", "total", "k"), [(3, 2, 1), (-1, 2, 1), (1, 2, 3), (1, 2, 0)])
def test_pass_at_k_refuses_what_cannot_be(correct, total, k):
    with pytest.raises(ValueError, match="correct"):
        pass_at_k(correct, total, k)


@pytest.mark.parametrize("plan", [None, "{}", "[]", "no JSON", '{"planned": null, "envs": [], "env": {}}'])
def test_a_directory_without_a_plan_is_no_rollout(tmp_path, plan):
    if plan is not None:
        (tmp_path / "plan.json").write_text(plan)
    with pytest.raises(UsageError, match="is not a rollout"):
        show(tmp_path, {})
