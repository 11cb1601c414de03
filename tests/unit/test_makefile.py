"""What make would do, as `make -n` tells it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPU, GPU = "requirements/cpu.lock", "requirements/gpu.lock"
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def test_every_folder_of_environments_is_installed_and_checked(make):
    found = sorted(each.parent for each in ROOT.glob("environments/*/pyproject.toml"))
    assert len(found) > 1
    installed = make("install", f"LOCK={GPU}", installed=CPU).partition("install.sh")[2].split()
    checked = make("check", installed=CPU).split()
    for each in found:
        assert f"environments/{each.name}" in installed
        packages = [path.parent.name for path in each.glob("agentray_*/__init__.py")]
        assert packages and {f"environments/{each.name}/{package}" for package in packages} <= set(checked)


@pytest.fixture
def make(tmp_path):
    """Commands of a target for a virtual environment in which a lock was installed."""

    def commands(*arguments, installed=""):
        (tmp_path / "venv").mkdir(exist_ok=True)
        (tmp_path / "venv" / ".installed").write_text(installed)
        command = ["make", "-n", "-C", str(ROOT), f"VENV={tmp_path / 'venv'}", *arguments]
        plain = {"PATH": os.environ["PATH"]}  # not what a make around the tests hands down
        done = subprocess.run(command, env=plain, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    return commands


@pytest.mark.parametrize("lock", [CPU, GPU])
def test_nothing_is_installed_again_and_the_lock_stays(make, lock):
    assert "install.sh" not in make("install", installed=f"{lock}\n")
    assert "install.sh" not in make("install", f"LOCK={lock}", installed=f"{lock}\n")


@pytest.mark.parametrize(("before", "after"), [(CPU, GPU), (GPU, CPU)])
def test_another_lock_is_installed_into_an_empty_environment(make, tmp_path, before, after):
    said = make("install", f"LOCK={after}", installed=f"{before}\n")
    assert f"LOCK={after} sh requirements/install.sh" in said and f"echo {after} >" in said
    assert said.index(f"rm -rf {tmp_path / 'venv'}") < said.index("install.sh")


def test_the_quickstart_gets_the_benchmarks_records_where_they_are(make, tmp_path):
    records = tmp_path / "data" / "dbbench" / "dev.jsonl"
    data = f"AGENTRAY_TEST_DATA={tmp_path / 'data'}"
    assert "benchmark=" not in make("quickstart", data, installed=CPU)
    records.parent.mkdir(parents=True)
    records.write_text("")
    assert f"--set quickstart.benchmark={records}" in make("quickstart", data, installed=CPU)
