"""The documents say what is: every command, setting and environment, and nothing that is gone."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import typer

from agentray.cli.app import app
from agentray.config import load
from agentray.env import names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = "\n".join(each.read_text(encoding="utf-8") for each in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
COMMANDS = set(typer.main.get_command(app).commands)
spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


def test_the_configuration_page_is_the_one_the_code_generates():
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == generate.render()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_in_the_readme(command):
    assert re.search(rf"agentray {command}\b", README)


def test_no_document_names_a_command_that_is_gone():
    used = set(re.findall(r"(?:^|[`\s/])agentray ([a-z]+)(?= |`|$)", PAGES, flags=re.M))
    words = {
        "environments",
        "and",
        "is",
        "on",
        "in",
        "rollout",
        "reads",
        "as",
        "with",
        "to",
        "needs",
        "turns",
    }
    assert used - words <= COMMANDS, used - words - COMMANDS


@pytest.mark.parametrize("name", names())
def test_every_environment_is_documented(name):
    assert f"`{name}`" in PAGES


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.toml")), ids=lambda path: path.stem)
def test_every_job_has_settings_that_its_stage_accepts(job):
    table = next(iter(tomllib.loads(job.read_text())))
    load(generate.TABLES[table], table, file=job)
    script = job.with_suffix(".py").read_text()
    assert script.count("\n") < 60 and f'"{table}"' in script
