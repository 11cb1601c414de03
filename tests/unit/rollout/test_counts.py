import json

from agentray.policy.router import EndpointStats
from agentray.rollout.counts import RunCounts
from agentray.types import silent


def test_the_event_log_takes_any_text(tmp_path):
    log = tmp_path / "log.jsonl"
    counts = RunCounts(1, {}, silent, log)
    counts.worker_died(0, [], "no such file: caf\udce9")
    counts.close()
    assert json.loads(log.read_text())["why"] == "no such file: caf\udce9"


def test_the_calls_of_a_worker_that_died_still_count(tmp_path):
    counts = RunCounts(1, {}, silent, tmp_path / "log.jsonl")
    counts.endpoints(0, [EndpointStats("one", 0, 8, calls=5, retries=1, overloads=0, failures=1)])
    counts.endpoints(1, [EndpointStats("one", 0, 8, calls=2, retries=0, overloads=0, failures=0)])
    counts.worker_died(0, [], "killed")
    counts.endpoints(0, [EndpointStats("one", 0, 8, calls=7, retries=0, overloads=2, failures=0)])
    counts.close()
    assert counts.endpoint_totals() == {"one": {"calls": 14, "retries": 1, "overloads": 2, "failures": 1}}
