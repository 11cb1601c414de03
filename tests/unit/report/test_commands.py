"""The command line that makes a run again."""

import shlex

from agentray.config import RolloutConfig, TasksConfig, load
from agentray.report.commands import command
from agentray.report.records import RunCost
from agentray.rollout.tasks import run, source_of


def cost(config):
    fields = dict.fromkeys(RunCost.__dataclass_fields__)
    return RunCost(**(fields | {"stage": "rollout", "config": config.model_dump(mode="json")}))


def read(line):
    """The settings of a command line."""
    words = shlex.split(line)[2:]
    options = list(zip(words[::2], words[1::2], strict=True))
    values = {name[2:]: value for name, value in options if name not in ("--set", "--env")}
    envs = [value for name, value in options if name == "--env"]
    sets = [value for name, value in options if name == "--set"]
    return load(RolloutConfig, "rollout", overrides=sets, values=values | ({"envs": envs} if envs else {}))


def test_a_run_of_environments_is_the_same_when_its_command_is_read():
    made = RolloutConfig(envs=["count", "prompts"], split="test", num_tasks=7, out="a b", seed=3)
    assert read(command(cost(made))) == made


def test_a_run_of_a_file_names_the_file_and_nothing_that_it_says(tmp_path):
    file = tmp_path / "tasks.jsonl"
    run(TasksConfig(envs=["count"], split="test", num_tasks=7, out=file, env={"count": {"length": 2}}))
    asked = RolloutConfig(envs=[], tasks=file, out=tmp_path / "run", samples=2)
    made, _ = source_of(asked)
    assert (made.envs, made.split, made.num_tasks) == (["count"], "test", 7)
    line = command(cost(made))
    assert f"--tasks {file}" in line and "--env" not in line and "split" not in line
    assert read(line) == asked.model_copy(update={"env": {"count": {"length": 2}}})
