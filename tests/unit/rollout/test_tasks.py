"""Tasks as data: what a tasks file holds, that it plays as the environment would, and what is refused."""

import json
from itertools import islice

import pytest

from agentray.config import EvaluateConfig, RolloutConfig, TasksConfig
from agentray.data.runs import PLAN
from agentray.data.store import iterate_run
from agentray.env.count import Count
from agentray.errors import DataError, UsageError
from agentray.evaluate.run import run as evaluate
from agentray.rollout import tasks
from agentray.rollout.run import run as rollout
from agentray.rollout.tasks import TasksFile, run, source_of


def write(path, **changes):
    config = {"envs": ["count"], "split": "test", "num_tasks": 6, "out": path}
    return run(TasksConfig(**(config | changes)))


@pytest.fixture
def file(tmp_path):
    write(tmp_path / "tasks.jsonl")
    return tmp_path / "tasks.jsonl"


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rewrite(path, made):
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return path


def played(path, out, **changes):
    config = {"envs": [], "tasks": path, "out": out, "num_workers": 0}
    return rollout(RolloutConfig(**(config | changes)))


def test_a_line_says_all_of_a_task(file):
    first = next(Count().tasks("test"))
    assert rows(file)[0] == {
        "id": first.id,
        "env": "count",
        "version": "1",
        "split": "test",
        "data": first.data,
        "fingerprint": first.fingerprint,
    }
    assert len(rows(file)) == 6 and list(file.parent.iterdir()) == [file]


def test_start_skips_tasks_and_settings_travel_with_them(tmp_path):
    made = write(tmp_path / "a" / "t.jsonl", first_task=3, num_tasks=2, env={"count": {"length": 2}})
    found = rows(tmp_path / "a" / "t.jsonl")
    assert made.num_tasks == {"count": 2} and [row["id"] for row in found] == ["test/3", "test/4"]
    assert all(row["settings"] == {"length": 2} for row in found)
    source = TasksFile(tmp_path / "a" / "t.jsonl", {})
    assert source.environments["count"].settings.length == 2 and source.specs[0].kwargs == {"length": 2}
    assert TasksFile(tmp_path / "a" / "t.jsonl", {"count": {"length": 5}}).specs[0].kwargs == {"length": 5}


def test_fewer_tasks_than_asked_for_are_written_and_none_is_an_error(tmp_path):
    assert write(tmp_path / "t.jsonl", envs=["prompts"], num_tasks=10_000).num_tasks == {"prompts": 40}
    with pytest.raises(UsageError, match="no task of 'prompts'"):
        write(tmp_path / "none.jsonl", envs=["prompts"], first_task=10_000)
    assert not (tmp_path / "none.jsonl").exists()


def test_a_file_plays_as_its_environment_does(file, tmp_path):
    made = played(file, tmp_path / "file", samples=2)
    generated = RolloutConfig(
        envs=["count"], split="test", num_tasks=6, samples=2, out=tmp_path / "made", num_workers=0
    )
    rollout(generated)
    there, here = (list(iterate_run(tmp_path / name)) for name in ("made", "file"))
    assert made.planned == 12 and made.mean_reward == {"count": 1.0}
    assert sorted((each.key, each.seed) for each in here) == sorted((each.key, each.seed) for each in there)


def test_two_environments_in_one_file_have_places_of_their_own(tmp_path):
    counted, asked = tmp_path / "count.jsonl", tmp_path / "prompts.jsonl"
    write(counted, num_tasks=3)
    write(asked, envs=["prompts"], num_tasks=2)
    both = [row for pair in zip(rows(counted), rows(asked), strict=False) for row in pair] + rows(counted)[2:]
    file = rewrite(tmp_path / "both.jsonl", both)
    assert played(file, tmp_path / "run", policy="random").planned == 5
    seeds = {each.task.id + each.task.env: each.seed for each in iterate_run(tmp_path / "run")}
    assert sorted(seeds.values()) == [0, 0, 1, 1, 2]


def test_a_run_resumes_goes_on_with_a_longer_file_and_refuses_another(file, tmp_path):
    longer, whole = tmp_path / "longer.jsonl", rows(file)
    rewrite(file, whole[:4])
    assert played(file, tmp_path / "run").planned == 4
    assert played(file, tmp_path / "run").resumed == 4
    more = played(rewrite(longer, whole), tmp_path / "run")
    assert (more.planned, more.resumed) == (6, 4)
    before = (tmp_path / "run" / PLAN).read_bytes()
    for other in (whole[::-1], [*whole[1:], whole[0]]):
        with pytest.raises(UsageError, match="holds another run"):
            played(rewrite(longer, other), tmp_path / "run")
    assert (tmp_path / "run" / PLAN).read_bytes() == before


def test_a_run_of_generated_tasks_is_not_a_run_of_a_file(file, tmp_path):
    config = RolloutConfig(envs=["count"], split="test", num_tasks=6, out=tmp_path / "run", num_workers=0)
    rollout(config)
    with pytest.raises(UsageError, match="holds another run"):
        played(file, tmp_path / "run")


def test_an_evaluation_scores_the_tasks_of_a_file(tmp_path):
    write(tmp_path / "t.jsonl", env={"count": {"length": 12}}, num_tasks=130)
    config = EvaluateConfig(envs=[], tasks=tmp_path / "t.jsonl", out=tmp_path / "run", num_workers=0)
    found = evaluate(config)
    assert found.split == "test" and found.scores["count"].n == 130 and found.scores["count"].mean == 1.0
    assert evaluate(config).scores == found.scores


ALTERED = [
    ({"version": "2"}, "version '2'"),
    ({"fingerprint": "0" * 16}, "does not fit its data"),
    ({"data": {"start": 1, "goal": 2}}, "does not fit its data"),
    ({"split": "train"}, "its id says 'test'"),
    ({"split": "train", "id": "q"}, "not of the split 'train'"),
    ({"split": "tset"}, "split is not one of"),
    ({"settings": {"length": 3}}, "settings differ"),
    ({"id": 7}, "`id` is 7"),
    ({"data": []}, "`data` is []"),
    ({"data": None}, "`data` is None"),
    ({"env": None}, "`env` is None"),
]


@pytest.mark.parametrize(("change", "why"), ALTERED, ids=lambda each: str(each)[:30])
def test_an_altered_line_is_refused_by_number_and_nothing_is_written(file, tmp_path, change, why):
    whole = rows(file)
    rewrite(file, [*whole[:4], whole[4] | change, whole[5]])
    with pytest.raises(DataError, match=r"tasks\.jsonl:5 is not a task") as caught:
        played(file, tmp_path / "run")
    assert why in caught.value.why and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["id", "env", "version", "split", "data", "fingerprint"])
def test_a_line_without_a_field_is_refused(file, name):
    whole = rows(file)
    del whole[2][name]
    with pytest.raises(DataError, match=r"tasks\.jsonl:3 is not a task") as caught:
        TasksFile(rewrite(file, whole), {})
    assert f"no `{name}`" in caught.value.why


def test_two_lines_of_one_id_are_refused(file, tmp_path):
    with pytest.raises(DataError, match="lines 2 and 7 of"):
        played(rewrite(file, [*rows(file), rows(file)[1]]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_environment_that_is_not_installed_is_named(file):
    with pytest.raises(UsageError, match="needs the environment 'cuont'") as caught:
        TasksFile(rewrite(file, [{**rows(file)[0], "env": "cuont"}]), {})
    assert "did you mean 'count'" in caught.value.why


def test_held_out_tasks_are_never_played_for_training(file, tmp_path, monkeypatch):
    monkeypatch.setattr(Count, "family", "held_out")
    assert TasksFile(file, {}).sizes == {"count": 6}
    write(tmp_path / "train.jsonl", split="train")
    for config in (
        RolloutConfig(envs=[], tasks=tmp_path / "train.jsonl", out=tmp_path / "run"),
        RolloutConfig(envs=["count"], split="train", out=tmp_path / "run"),
    ):
        with pytest.raises(UsageError, match="never trained on"):
            source_of(config)
    source_of(RolloutConfig(envs=["count"], split="test", out=tmp_path / "run"))


@pytest.mark.parametrize(
    "other", [{"envs": ["count"]}, {"split": "test"}, {"num_tasks": 5}, {"first_task": 1}]
)
def test_a_file_and_a_choice_of_tasks_contradict_each_other(file, tmp_path, other):
    with pytest.raises(ValueError, match=next(iter(other))):
        RolloutConfig(**({"tasks": file, "out": tmp_path / "run"} | other))


def test_equal_hashes_of_two_tasks_are_not_taken_for_one(file, monkeypatch):
    class Blunt:
        def __init__(self, *args, **kwargs):
            pass

        def digest(self):
            return b"same"

    monkeypatch.setattr(tasks.hashlib, "blake2b", Blunt)
    assert TasksFile(file, {}).sizes == {"count": 6}


def test_tasks_are_read_as_they_are_asked_for(file):
    source = TasksFile(file, {})
    made = list(islice(Count().tasks("test"), 6))
    assert list(source.tasks(lambda env, place: place in (1, 4))) == [(1, made[1]), (4, made[4])]


@pytest.mark.parametrize("line", ["no json", "[]", '{"id": "rain \\ud83d"}', "[" * 100_000])
def test_a_line_that_is_not_an_object_of_text_is_refused(file, line):
    file.write_text(file.read_text() + "\n" + line + "\n")
    with pytest.raises(DataError, match=r"tasks\.jsonl:8 is not a task"):
        TasksFile(file, {})


def test_a_file_without_tasks_and_one_that_is_not_there_are_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no records"):
        TasksFile(tmp_path / "empty.jsonl", {})
    with pytest.raises(UsageError, match="cannot read"):
        TasksFile(tmp_path / "absent.jsonl", {})


def test_a_version_is_the_environments_own(tmp_path, monkeypatch):
    monkeypatch.setattr(Count, "version", "3")
    write(tmp_path / "t.jsonl")
    assert {row["version"] for row in rows(tmp_path / "t.jsonl")} == {"3"}
