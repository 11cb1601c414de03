"""What the quickstart decides before it starts, and what it proposes at its end."""

import subprocess
import sys
from pathlib import Path

import pytest

from agentray.errors import UsageError
from agentray.recipes.quickstart import QuickstartConfig, _typed, run


def test_the_benchmark_is_the_users_choice_and_must_be_readable(tmp_path):
    assert QuickstartConfig().benchmark is None
    config = QuickstartConfig(out=tmp_path / "out", benchmark=tmp_path / "absent.jsonl")
    with pytest.raises(UsageError, match=r"absent\.jsonl"):
        run(config)
    assert not config.out.exists()


def test_what_is_proposed_can_be_typed(tmp_path, monkeypatch):
    script = tmp_path / "bin dir" / "agentray"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(script), "quickstart"])
    assert _typed() == f"'{script}'"
    monkeypatch.setenv("PATH", str(script.parent))
    assert _typed() == "agentray"
    monkeypatch.setattr(sys, "argv", ["/somewhere/agentray/__main__.py", "quickstart"])
    command = f"{_typed()} version"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip()


def test_the_package_reads_nothing_of_the_tests():
    package = Path(__file__).parents[3] / "agentray"
    assert not [each for each in package.rglob("*.py") if "AGENTRAY_TEST_DATA" in each.read_text("utf-8")]
