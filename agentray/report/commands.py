"""The command line that makes a run again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from agentray.config import EvaluateConfig, RolloutConfig
from agentray.report.records import RunCost

_SETTINGS = {"rollout": RolloutConfig, "evaluate": EvaluateConfig}


def command(run: RunCost) -> str:
    """The command that makes a run again, with all settings that are not the default; empty for others."""
    if run.stage not in _SETTINGS or not run.config:
        return ""
    default = _SETTINGS[run.stage](envs=["any"], out="any").model_dump(mode="json")
    changed = {name: value for name, value in run.config.items() if value != default.get(name)}
    if changed.get("tasks"):  # the file says what these would
        changed |= dict.fromkeys(("envs", "split", "num_tasks", "first_task"))
    named = [part for env in changed.pop("envs", None) or () for part in ("--env", str(env))]
    for option in ("tasks", "out"):
        if value := changed.pop(option, None):
            named += [f"--{option}", str(value)]
    settings = {run.stage: changed, "env": changed.pop("env", {})}
    sets = [part for line in _lines(settings, {run.stage: default}) for part in ("--set", line)]
    return shlex.join(["agentray", run.stage, *named, *sets])


def _lines(settings: Mapping[str, Any], default: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """`table.key=value` for each setting that is not the default, in TOML."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _lines(value, default.get(name) or {}, f"{path}{name}.")
        elif value is not None and value != default.get(name):
            yield f"{path}{name}={json.dumps(value, ensure_ascii=False)}"
