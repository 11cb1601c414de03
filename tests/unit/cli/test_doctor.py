"""The doctor lists the plugins of every seam, and says what to install where nothing can be played."""

import subprocess
import sys

from agentray.cli import doctor
from agentray.env import ENVIRONMENTS


def test_no_model_library_is_loaded():
    program = (
        "import sys; from agentray.cli.doctor import diagnose; diagnose(); "
        "print({'torch', 'transformers', 'vllm', 'lm_eval'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_seam_is_looked_at():
    names = {each.name for each in doctor.diagnose()}
    seams = {"environments", "policies", "transforms", "training_methods", "formats", "benchmarks", "recipes"}
    assert seams <= names


def test_toys_alone_are_not_enough(monkeypatch):
    monkeypatch.setattr("agentray.plugins._found", lambda group: {})
    check = next(each for each in doctor.diagnose() if each.name == "environments")
    assert ENVIRONMENTS.names() == ["count", "prompts"]
    assert not check.ok and "agentray-database" in check.fix
