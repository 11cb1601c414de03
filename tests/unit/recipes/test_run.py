"""Recipes that are run, with the toy environment and without Ray."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentray.env.count import CountGame
from agentray.errors import AgentrayError, DataError
from agentray.recipes.recipe import load_recipe
from agentray.recipes.run import STATE, run
from agentray.types import silent

LOOP = """
[settings]
num = 6
more = false
[stages.played]
run = "rollout"
envs = ["count"]
num_tasks = "{num}"
num_workers = 0
[stages.beside]
run = "rollout"
beside = "played"
envs = ["count"]
policy = "random"
num_tasks = 2
num_workers = 0
[stages.extra]
run = "rollout"
when = "{more}"
envs = ["count"]
num_workers = 0
[stages.kept]
run = "filter"
runs = ["{played}", "{extra}"]
[stages.scored]
run = "evaluate"
envs = ["count"]
num_tasks = "{kept.kept}"
num_workers = 0
[stages.page]
run = "report"
runs = ["{scored}"]
filter = "{kept}"
recipe = "{out}"
[results]
"page.html" = "{page.html}"
number = "{kept.kept}"
"""


class Watching:
    """Notes what it is shown."""

    def __init__(self):
        self.lines, self.names = [], []

    def begin(self, lines):
        self.lines += lines

    @contextmanager
    def stage(self, name):
        self.names.append(name)
        yield silent

    def end(self, result, left_s):
        assert left_s is None


@pytest.fixture
def go(tmp_path):
    def start(*overrides, text=LOOP):
        path = tmp_path / "loop.toml"
        path.write_text(text)
        watching = Watching()
        summary = run(load_recipe(str(path), out=tmp_path / "out", overrides=overrides), watching)
        return summary, watching

    return start


def states(summary):
    return {each.name: each.state for each in summary.stages}


def test_every_stage_runs_once_in_order_and_passes_its_result_on(go, tmp_path):
    summary, watching = go()
    assert watching.names == ["played", "beside", "kept", "scored", "page"]
    assert states(summary) == {
        "played": "done",
        "beside": "done",
        "extra": "skipped",
        "kept": "done",
        "scored": "done",
        "page": "done",
    }
    counts = {each.name: each.counts for each in summary.stages}
    assert counts["kept"]["kept"] == 6 == summary.results["number"]
    assert counts["scored"]["scores"]["count"]["n"] == 6
    link = tmp_path / "out" / "page.html"
    assert link.is_symlink() and "<html" in link.read_text()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["stage"] == "recipe"


def test_the_report_tells_of_the_stages_before_it(go, tmp_path):
    summary, _ = go()
    counts = {each.name: each.counts for each in summary.stages}
    report = json.loads(Path(counts["page"]["json"]).read_text())
    assert [each["name"] for each in report["stages"]] == ["played", "beside", "kept", "scored"]
    assert report["peak_memory_bytes"] >= 0


def test_what_is_complete_is_not_run_again_and_what_a_change_touches_is(go, tmp_path):
    go()
    manifest = tmp_path / "out" / "kept" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    again, _ = go()
    assert states(again)["played"] == states(again)["kept"] == "up to date"
    assert manifest.stat().st_mtime_ns == before
    changed, _ = go("kept.max_per_task=1")
    assert states(changed)["played"] == "up to date" and states(changed)["kept"] == "done"
    larger, _ = go("settings.num=9")
    assert larger.results["number"] == 9


def test_a_failed_stage_is_named_and_the_next_run_goes_on_behind_what_is_done(go, tmp_path):
    with pytest.raises(AgentrayError, match="stage 'kept'"):
        go("kept.min_reward=2.0")
    noted = json.loads((tmp_path / "out" / STATE).read_text())
    assert [each["name"] for each in noted["stages"]] == ["played", "beside", "extra"]
    assert not (tmp_path / "out" / "manifest.json").exists()
    summary, _ = go()
    assert states(summary)["played"] == "up to date" and states(summary)["kept"] == "done"


def test_a_failure_beside_another_stage_ends_the_recipe(go):
    text = LOOP.replace('policy = "random"', 'policy = "http://127.0.0.1:9/v1"')
    with pytest.raises(AgentrayError, match="stage 'beside'"):
        go(text=text)


def test_a_reference_to_a_result_that_a_stage_does_not_have_is_refused(go):
    with pytest.raises(AgentrayError, match="no result 'kpet'"):
        go(text=LOOP.replace("{kept.kept}", "{kept.kpet}", 1))


def test_a_rollout_whose_attempts_all_failed_ends_the_recipe_also_when_it_is_run_again(go, monkeypatch):
    def breaks(self, action):
        raise OSError("the browser died")

    monkeypatch.setattr(CountGame, "step", breaks)
    for _ in range(2):
        with pytest.raises(DataError, match="'played': all 6 attempts failed") as caught:
            go()
        assert "the browser died" in caught.value.why


def test_tasks_are_drawn_once_and_played_from_their_file(go, tmp_path):
    text = """
    [stages.drawn]
    run = "tasks"
    envs = ["count"]
    split = "test"
    num_tasks = 5
    [stages.played]
    run = "rollout"
    tasks = "{drawn}"
    num_workers = 0
    [stages.kept]
    run = "transform"
    runs = ["{played}"]
    apply = ["completed", "distinct"]
    [results]
    number = "{kept.kept}"
    """
    summary, _ = go(text=text)
    assert summary.results["number"] == 5
    assert len((tmp_path / "out" / "drawn.jsonl").read_text().splitlines()) == 5
