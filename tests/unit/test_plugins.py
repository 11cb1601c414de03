"""The registry of plugins, with distributions that only their metadata announces."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from installed import installed

from agentray.errors import MissingDependencyError, UsageError
from agentray.plugins import Seam, load_attribute

ASK = """
import json
from agentray.errors import AgentrayError
from agentray.plugins import Seam

seam = Seam("trick", {"sit": "json:dumps"}, "give a trick")
good, bad = seam.loadable()
answers = {}
for name in seam.names():
    try:
        answers[name] = seam.load(name).__name__
    except AgentrayError as error:
        answers[name] = [type(error).__name__, error.what, error.why, error.fix]
print(json.dumps({"good": sorted(good), "bad": bad, "answers": answers}))
"""


def dog(directory: Path, name: str, tricks: dict[str, str], code: str) -> Path:
    points = "".join(f'{trick} = "{place}"\n' for trick, place in tricks.items())
    directory.mkdir()
    (directory / "pyproject.toml").write_text(
        f'[project]\nname = "agentray-{name}"\nversion = "1"\n'
        f'[project.entry-points."agentray.tricks"]\n{points}'
    )
    (directory / f"agentray_{name}.py").write_text(code)
    return directory


def ask(environment):
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_plugin_is_found_by_its_entry_point_beside_the_built_in_ones(tmp_path):
    rex = dog(tmp_path / "rex", "rex", {"roll": "agentray_rex:roll"}, "def roll():\n    return 1\n")
    found = ask(installed(rex, tmp_path / "site"))
    assert found["good"] == ["roll", "sit"] and found["bad"] == {}
    assert found["answers"] == {"roll": "roll", "sit": "dumps"}


@pytest.mark.parametrize(
    "code", ["import nothing_of_this_name", "1 / 0", "raise SystemError('broken')", "x = 1"]
)
def test_one_that_cannot_be_imported_is_skipped_in_lists_and_named_where_it_is_asked_for(tmp_path, code):
    rex = dog(tmp_path / "rex", "rex", {"roll": "agentray_rex:roll"}, code)
    found = ask(installed(rex, tmp_path / "site"))
    assert found["good"] == ["sit"] and list(found["bad"]) == ["roll"]
    kind, what, why, fix = found["answers"]["roll"]
    assert kind == "MissingDependencyError" and "'roll' cannot be imported" in what
    assert "agentray_rex:roll" in why and "agentray-rex" in fix


def test_two_of_one_name_are_an_error_that_names_both(tmp_path):
    code = "def roll():\n    return 1\n"
    installed(dog(tmp_path / "rex", "rex", {"roll": "agentray_rex:roll"}, code), tmp_path / "site")
    spot = dog(tmp_path / "spot", "spot", {"roll": "agentray_spot:roll", "sit": "agentray_spot:roll"}, code)
    found = ask(installed(spot, tmp_path / "site"))
    assert found["good"] == []
    assert set(found["bad"]) == {"roll", "sit"}
    assert found["answers"]["roll"][0] == "UsageError"
    assert "agentray-rex" in found["answers"]["roll"][2] and "agentray-spot" in found["answers"]["roll"][2]
    assert "agentray and agentray-spot" in found["answers"]["sit"][2]
    assert found["answers"]["sit"][3] == "pip uninstall one of them: agentray-spot"


def test_an_unknown_name_is_refused_with_the_closest():
    seam = Seam("trick", {"roll": "json:dumps", "sit": "json:loads"}, "give a trick")
    with pytest.raises(UsageError, match="did you mean 'roll'") as caught:
        seam.load("rol")
    assert caught.value.fix == "give a trick"


def test_a_built_in_one_that_lacks_a_package_says_which_extra_has_it():
    with pytest.raises(MissingDependencyError, match=r"agentray\[all\]"):
        Seam("trick", {"roll": "no_such_module:roll"}, "").load("roll")


@pytest.mark.parametrize(
    ("kind", "group"),
    [("environment", "environments"), ("policy", "policies"), ("training method", "training_methods")],
)
def test_the_group_follows_from_the_kind(kind, group):
    assert Seam(kind, {}, "").group == f"agentray.{group}"


def test_an_attribute_that_is_not_there_is_an_import_error():
    assert load_attribute("json:dumps") is json.dumps
    with pytest.raises(ImportError, match="json has no 'nothing'"):
        load_attribute("json:nothing")
