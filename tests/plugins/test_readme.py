"""The README's environment, as a reader would copy it into a distribution of their own."""

import json
import re
import subprocess
import sys
from pathlib import Path

from installed import installed

README = Path(__file__).parents[2] / "README.md"
PROJECT = '[project]\nname = "my-package"\nversion = "1"\n'


def test_the_environment_of_the_readme_is_complete(tmp_path):
    text = README.read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(import itertools.*?)```", text, re.S)
    [points] = re.findall(r"```toml\n(\[project.entry-points.*?)```", text, re.S)
    assert len(code.splitlines()) <= 40
    package = tmp_path / "package"
    package.mkdir()
    (package / "my_package.py").write_text(code)
    (package / "pyproject.toml").write_text(PROJECT + points)
    environment = installed(package, tmp_path / "site")
    [command] = re.findall(r"`agentray (rollout --env doubling [^`]*)`", text)
    words = command.replace("runs/doubling", str(tmp_path / "out")).split()
    done = subprocess.run(
        [sys.executable, "-m", "agentray", *words, "--set", "rollout.num_workers=0", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] == 100
    check = "from agentray.env import check_environment, resolve; check_environment(resolve('doubling'))"
    done = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
