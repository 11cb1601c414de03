"""What the tests of third-party plugins rest on: a distribution that only its metadata announces."""

import subprocess
import sys
from pathlib import Path

from installed import ROOT, installed

FIND = """
import agentray
from importlib.metadata import entry_points
print(agentray.__file__)
print(*(f"{each.name} {each.load()}" for each in entry_points(group="agentray.words")))
"""


def distribution(directory: Path, name: str, word: str) -> Path:
    project = f'[project]\nname = "agentray-{name}"\nversion = "1.2"\n'
    points = f'[project.entry-points."agentray.words"]\n{name} = "agentray_{name}:WORD"\n'
    directory.mkdir()
    (directory / "pyproject.toml").write_text(project + points)
    (directory / f"agentray_{name}.py").write_text(f"WORD = {word!r}\n")
    return directory


def test_two_distributions_are_found_through_their_entry_points_beside_this_checkout(tmp_path):
    installed(distribution(tmp_path / "one", "parrot", "hello"), tmp_path / "site")
    environment = installed(distribution(tmp_path / "two", "crow", "caw"), tmp_path / "site")
    command = [sys.executable, "-c", FIND]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=tmp_path)
    place, found = done.stdout.splitlines()
    assert Path(place) == ROOT / "agentray" / "__init__.py"
    assert found.split(" ") in (["parrot", "hello", "crow", "caw"], ["crow", "caw", "parrot", "hello"])
