"""What stages share: the same identity in the same directory is the same run."""

import json
from dataclasses import dataclass

import pytest

from agentray import manifest
from agentray.config import Settings
from agentray.errors import DataError, UsageError
from agentray.stage import PLAN, Stage, read_plan


class Config(Settings):
    size: int = 1


@dataclass(frozen=True)
class Summary:
    made: int


def stage(out, **identity):
    return Stage("demo", Config(), out, Summary, identity=identity, growing={"size"})


def test_a_finished_stage_has_its_summary_until_it_grows(tmp_path):
    first = stage(tmp_path, size=1, seed=3)
    assert first.finished() is None
    first.begin()
    first.complete(Summary(7))
    assert stage(tmp_path, size=1, seed=3).finished() == Summary(7)
    longer = stage(tmp_path, size=2, seed=3)
    assert longer.finished() is None
    longer.begin()
    assert stage(tmp_path, size=2, seed=3).finished() is None  # interrupted: the manifest was of size 1
    longer.complete(Summary(8))
    assert stage(tmp_path, size=2, seed=3).finished() == Summary(8)


def test_a_complete_run_that_does_not_say_which_it_is_is_refused(tmp_path):
    stage(tmp_path, size=1).begin()
    stage(tmp_path, size=1).complete(Summary(7))
    (tmp_path / PLAN).unlink()
    with pytest.raises(UsageError, match="earlier version"):
        stage(tmp_path, size=1).finished()


def test_another_identity_is_refused_and_the_difference_named(tmp_path):
    stage(tmp_path, size=1, seed=3).begin()
    before = (tmp_path / PLAN).read_bytes()
    for refused in (stage(tmp_path, size=1, seed=4).check, stage(tmp_path, size=1, seed=4).begin):
        with pytest.raises(UsageError, match="another run") as caught:
            refused()
        assert caught.value.why == "seed: 3 there, 4 here"
    assert (tmp_path / PLAN).read_bytes() == before


def test_a_setting_that_an_earlier_version_did_not_have_makes_no_other_run(tmp_path):
    stage(tmp_path, seed=3).begin()
    stage(tmp_path, seed=3, new=1).begin()
    assert read_plan(tmp_path)["new"] == 1


def test_facts_stand_beside_the_identity_and_may_change(tmp_path):
    begun = stage(tmp_path, seed=3)
    begun.begin({"planned": 5})
    begun.note({"planned": 6, "seed": 4})
    assert read_plan(tmp_path) == {"planned": 6, "seed": 3}
    stage(tmp_path, seed=3).check()


def test_a_plan_that_cannot_be_read_is_a_data_error(tmp_path):
    (tmp_path / PLAN).write_text("[1, 2]")
    with pytest.raises(DataError, match="does not hold a plan"):
        stage(tmp_path, seed=3).begin()


def test_a_stage_without_identity_is_made_anew(tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        made = Stage("demo", Config(), out, Summary)
        made.begin()
        assert not list(out.iterdir())
        made.complete(Summary(1))
    document = json.loads((out / manifest.NAME).read_text())
    assert (document["stage"], document["config"], document["counts"]) == ("demo", {"size": 1}, {"made": 1})


def test_the_output_of_another_stage_is_refused(tmp_path):
    other = Stage("other", Config(), tmp_path, Summary, identity={})
    other.begin()
    other.complete(Summary(1))
    with pytest.raises(UsageError, match="another stage"):
        stage(tmp_path).finished()
    with pytest.raises(UsageError, match="another stage"):
        Stage("demo", Config(), tmp_path, Summary)


def test_a_stage_that_is_made_anew_empties_its_own_output_and_nothing_else(tmp_path):
    source, mine = tmp_path / "in.txt", tmp_path / "mine"
    source.write_text("1")
    mine.mkdir()
    (mine / "file").write_text("")
    with pytest.raises(UsageError, match="may be yours"):
        Stage("demo", Config(), mine, Summary, inputs=[source])
    with pytest.raises(UsageError, match="overlaps"):
        Stage("demo", Config(), tmp_path, Summary, inputs=[source])
    for made in (1, 2):
        again = Stage("demo", Config(), tmp_path / "out", Summary, inputs=[source])
        again.begin()
        assert list(again.out.iterdir()) == []
        (again.out / "content").write_text("")
        again.complete(Summary(made))


def test_the_manifest_says_what_was_read_and_what_came_of_it(tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("1")
    done = Stage("demo", Config(), tmp_path / "out", Summary, inputs=[source])
    done.begin()
    done.complete(Summary(3), {"made": 0, "read": 9})
    found = manifest.read(tmp_path / "out")
    assert (found.stage, found.config, found.counts) == ("demo", {"size": 1}, {"made": 3, "read": 9})
    assert found.inputs == {str(source): manifest.digest(source)}
