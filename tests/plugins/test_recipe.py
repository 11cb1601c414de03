"""A third party's recipe, found through its entry point alone."""

import json
import subprocess
import sys
from pathlib import Path

from installed import installed


def test_a_recipe_of_another_distribution_runs_by_its_name(tmp_path):
    environment = installed(Path(__file__).parent / "recipe", tmp_path / "site")
    command = [sys.executable, "-m", "agentray", "run", "counting", "--out", str(tmp_path / "out"), "--json"]
    command += ["--set", "counting.num=3"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    stages = json.loads(done.stdout)["stages"]
    assert [(each["name"], each["state"]) for each in stages] == [("played", "done"), ("kept", "done")]
    assert stages[1]["counts"]["kept"] == 3
