import json

from agentray.policy.router import EndpointStats
from agentray.rollout.tally import Tally
from agentray.types import silent


def test_the_event_log_takes_any_text(tmp_path):
    log = tmp_path / "log.jsonl"
    tally = Tally(1, {}, silent, log)
    tally.lost(0, [], "no such file: caf\udce9")
    tally.close()
    assert json.loads(log.read_text())["why"] == "no such file: caf\udce9"


def test_the_calls_of_a_worker_that_died_still_count(tmp_path):
    tally = Tally(1, {}, silent, tmp_path / "log.jsonl")
    tally.endpoints(0, [EndpointStats("one", 0, 8, calls=5, retries=1, overloads=0, failures=1)])
    tally.endpoints(1, [EndpointStats("one", 0, 8, calls=2, retries=0, overloads=0, failures=0)])
    tally.lost(0, [], "killed")
    tally.endpoints(0, [EndpointStats("one", 0, 8, calls=7, retries=0, overloads=2, failures=0)])
    tally.close()
    assert tally.endpoint_totals() == {"one": {"calls": 14, "retries": 1, "overloads": 2, "failures": 1}}
