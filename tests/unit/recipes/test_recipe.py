"""What a recipe may say, and what is refused before anything is written."""

import tomllib
from importlib.resources import files

import pytest

from agentray.errors import UsageError
from agentray.recipes.recipe import RECIPES, load_recipe
from agentray.recipes.references import ABSENT, resolve
from agentray.recipes.run import check

LOOP = """
out = "loop"
[settings]
num = 3
deep = true
[stages.played]
run = "rollout"
envs = ["count"]
num_tasks = "{num}"
num_workers = 0
[stages.kept]
run = "filter"
runs = ["{played}"]
[stages.scored]
run = "evaluate"
when = "{deep}"
after = "kept"
envs = ["count"]
num_workers = 0
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="loop.toml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def order(recipe):
    return [[step.name for step in group] for group in recipe.groups()]


def test_stages_run_after_what_they_refer_to_and_otherwise_in_the_order_of_the_file(written):
    assert order(load_recipe(written(LOOP))) == [["played"], ["kept"], ["scored"]]
    shuffled = '[stages.b]\nrun = "filter"\nruns = ["{a}"]\n[stages.a]\nrun = "rollout"\nenvs = ["count"]\n'
    assert order(load_recipe(written(shuffled))) == [["a"], ["b"]]


def test_a_stage_beside_another_waits_for_what_both_need(written):
    text = LOOP + '[stages.more]\nrun = "rollout"\nbeside = "played"\nafter = "first"\nenvs = ["count"]\n'
    text += '[stages.first]\nrun = "rollout"\nenvs = ["count"]\n'
    assert order(load_recipe(written(text))) == [["first"], ["played", "more"], ["kept"], ["scored"]]


def test_settings_and_directories_are_filled_in_with_their_types(written, tmp_path):
    settings = check(load_recipe(written(LOOP), out=tmp_path / "x"))
    assert settings["played"].num_tasks == 3
    assert settings["played"].out == tmp_path / "x" / "played"
    assert settings["kept"].runs == [tmp_path / "x" / "played"]


@pytest.mark.parametrize("override", ["settings.num=5", "loop.num=5", "played.num_tasks=5"])
def test_set_changes_a_setting_of_the_recipe_or_of_a_stage(written, override):
    assert check(load_recipe(written(LOOP), overrides=[override]))["played"].num_tasks == 5


def test_a_stage_that_is_not_wanted_vanishes_from_what_refers_to_it(written):
    text = LOOP + '[stages.all]\nrun = "filter"\nruns = ["{played}", "{scored}"]\n'
    settings = check(load_recipe(written(text), overrides=["settings.deep=false"]))
    assert settings["scored"] is None
    assert [each.name for each in settings["all"].runs] == ["played"]


def test_a_recipe_extends_another_table_by_table(written):
    base = written(LOOP)
    text = f'extends = "{base}"\n[settings]\nnum = 7\n[stages.kept]\nmin_reward = 0.5\n'
    settings = check(load_recipe(written(text, "longer.toml"), overrides=["longer.deep=false"]))
    assert (settings["played"].num_tasks, settings["kept"].min_reward, settings["scored"]) == (7, 0.5, None)


CYCLE = '[stages.{0}]\nrun = "filter"\nruns = ["{{{1}}}"]\n'
WRONG = {
    "a cycle": (CYCLE.format("a", "b") + CYCLE.format("b", "c") + CYCLE.format("c", "a"), "wait for each"),
    "a stage that waits for itself": (CYCLE.format("a", "a"), "wait for each"),
    "two beside each other": (
        '[stages.a]\nrun = "filter"\nbeside = "b"\n[stages.b]\nrun = "filter"\nbeside = "a"\n',
        "wait for each",
    ),
    "a stage beside what it needs": (LOOP.replace("when =", 'beside = "kept"\nwhen ='), "wait for each"),
    "a missing stage": (LOOP.replace("{played}", "{plaid}"), "did you mean 'played'"),
    "a stage beside nothing": (LOOP + '[stages.x]\nrun = "rollout"\nbeside = "num"\n', "refers to 'num'"),
    "an unknown kind": (LOOP.replace('"filter"', '"fliter"'), "did you mean 'filter'"),
    "no kind": ("[stages.a]\nenvs = []\n", "`run` is missing"),
    "one directory twice": (LOOP.replace("runs =", 'out = "loop/played"\nruns ='), "write one directory"),
    "a name twice": (LOOP.replace("num = 3", "num = 3\nkept = 1"), "is a setting and a stage"),
    "a result where a stage writes": (LOOP + '[results]\nkept = "{kept}"\n', "is a stage and a result"),
    "no stages": ("[settings]\na = 1\n", "no stages"),
    "an unknown key": (LOOP + "[stage.x]\n", "did you mean 'stages'"),
    "what is not TOML": ("[stages", "cannot read"),
    "a result of nothing": (LOOP + '[results]\nmodel = "{trained.model}"\n', "refers to 'trained'"),
    "an unknown setting of a stage": (LOOP.replace("num_tasks", "num_taks"), "did you mean 'num_tasks'"),
    "a wrong value": (LOOP.replace("num = 3", "num = 0"), "greater than or equal to 1"),
    "an unknown environment": (LOOP.replace('["count"]', '["cuont"]', 1), "did you mean 'count'"),
    "no such recipe": (None, "did you mean 'quickstart'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_recipe_is_refused_in_three_lines_and_writes_nothing(written, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    text, message = WRONG[case]
    with pytest.raises(UsageError) as caught:
        check(load_recipe("quikstart" if text is None else written(text)))
    assert message in str(caught.value)
    assert str(caught.value).count("\n") == 2
    assert not (tmp_path / "loop").exists()


@pytest.mark.parametrize("override", ["settings.nun=1", "plaid.envs=[]", "played", "played.out.x=1"])
def test_a_wrong_override_is_refused(written, override):
    text = LOOP.replace("[stages.played]\n", '[stages.played]\nout = "o"\n')
    with pytest.raises(UsageError):
        load_recipe(written(text), overrides=[override])


def test_a_reference_takes_the_value_whole_or_becomes_text():
    values = {"n": 3, "gone": ABSENT}

    def lookup(name, part):
        return values[name]

    assert resolve({"a": "{n}", "b": "x-{n}", "c": ["{gone}", "{n}"]}, lookup) == {
        "a": 3,
        "b": "x-3",
        "c": [3],
    }
    assert resolve({"d": "{gone}", "e": "{gone}/x"}, lookup) == {}
    assert resolve('{"json": 1} {', lookup) == '{"json": 1} {'


@pytest.mark.parametrize("name", sorted(RECIPES.built_in))
def test_every_packaged_recipe_fits_the_stages_and_names_only_its_own_settings(name, tmp_path):
    recipe = load_recipe(name, out=tmp_path)
    assert all(settings is not None for key, settings in check(recipe).items() if "benchmark" not in key)
    text = files("agentray.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    unused = [key for key in document["settings"] if f"{{{key}}}" not in text]
    assert not unused
