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
from agentray.recipes.recipe import load_recipe
from agentray.recipes.run import check

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = "\n".join(each.read_text(encoding="utf-8") for each in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
TREE = typer.main.get_command(app)
COMMANDS = set(TREE.commands)
TEXTS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("environments/*/README.md"),
    *ROOT.glob("agentray/**/*.py"),
    *ROOT.glob("jobs/*"),
    *ROOT.glob("serve/*"),
]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate, results = script("generate"), script("results")


RECIPES = {"run", "quickstart"}
STAGES = {name.split(".")[0].split(" ")[0] for name in generate.TABLES if "," not in name}


def test_the_configuration_page_is_the_one_the_code_generates():
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == generate.render()


def test_the_tables_of_results_are_those_of_the_benchmarks_files():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert page == results.render(page)
    assert all(f"<!-- {each.stem} -->" in page for each in (ROOT / "benchmarks" / "results").glob("*.json"))


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


def called(text):
    """The `agentray` command lines in a text: command words, then what follows up to the end of the line."""
    text = text.replace("\\\n", " ")
    for match in re.finditer(r"(?:^|[`\s/])agentray ([a-z]+(?: [a-z]+)?)([^\n`]*)", text, flags=re.M):
        command, words = TREE, match[1].split()
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        if command is not TREE:
            yield match[0].strip(), command, match[2].split("#")[0]


def options(command):
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}


def test_every_command_line_in_a_document_has_options_that_exist():
    lines = [line for path in TEXTS for line in called(path.read_text(encoding="utf-8"))]
    assert len(lines) > 50
    for line, command, rest in lines:
        unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)) - options(command)
        assert not unknown, f"{line!r} has {unknown}"


def leaves(command, name="agentray"):
    inner = getattr(command, "commands", None)
    return (
        [(name, command)]
        if inner is None
        else [x for k, c in inner.items() for x in leaves(c, f"{name} {k}")]
    )


@pytest.mark.parametrize(
    ("name", "command"), leaves(TREE), ids=lambda each: each if isinstance(each, str) else ""
)
def test_every_command_takes_json_and_every_stage_its_settings(name, command):
    found = options(command)
    assert "--json" in found
    if name.split()[1] in RECIPES:
        assert {"--set", "--dry-run"} <= found
        return
    settings = {"--config", "--set", "--dry-run"}
    assert settings <= found or not settings & found
    assert (name.split()[1] in STAGES) == (settings <= found)


def test_the_readme_says_what_is_in_every_folder():
    folders = {each.parent.name for each in ROOT.glob("agentray/*/__init__.py")}
    tree = README[README.index("## The repository") :]
    assert not [each for each in sorted(folders) if f" {each}/" not in tree]


@pytest.mark.parametrize("name", names())
def test_every_environment_is_documented(name):
    readmes = [each.read_text(encoding="utf-8") for each in ROOT.glob("environments/*/README.md")]
    assert f"`{name}`" in "\n".join([PAGES, *readmes])


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").glob("*.toml")), ids=lambda path: path.stem)
def test_every_job_has_settings_that_its_stage_accepts(job):
    document = tomllib.loads(job.read_text())
    if "extends" in document or "stages" in document:
        check(load_recipe(str(job)))
    else:
        table = next(iter(document))
        load(generate.TABLES[table], table, file=job)
    assert "ray job submit" in job.read_text()
