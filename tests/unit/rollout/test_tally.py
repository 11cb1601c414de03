import json

from agentray.rollout.tally import Tally
from agentray.types import silent


def test_the_event_log_takes_any_text(tmp_path):
    log = tmp_path / "log.jsonl"
    tally = Tally(1, {}, silent, log)
    tally.lost([], "no such file: caf\udce9")
    tally.close()
    assert json.loads(log.read_text())["why"] == "no such file: caf\udce9"
