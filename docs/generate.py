"""Writes docs/configuration.md from the settings: `python docs/generate.py`. A test keeps them equal."""

import sys
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from agentray import config
from agentray.train.methods.distill import Distill
from agentray.train.methods.full import Full

TABLES: dict[str, type[config.Settings]] = {
    "tasks": config.TasksConfig,
    "rollout": config.RolloutConfig,
    "filter": config.FilterConfig,
    "mix": config.MixConfig,
    "mix.sources (a list)": config.Source,
    "mix.template, rollout.engine.template, evaluate.engine.template": config.TemplateConfig,
    "train": config.TrainConfig,
    "train.optimizer": config.OptimizerConfig,
    "train.method (name = full)": Full.Settings,
    "train.method (name = distill)": Distill.Settings,
    "tune": config.TuneConfig,
    "tune.space (each setting)": config.Distribution,
    "evaluate": config.EvaluateConfig,
    "evaluate (with --suite)": config.SuiteConfig,
    "evaluate.judge (with --suite)": config.JudgeConfig,
    "contamination": config.ContaminationConfig,
    "report": config.ReportConfig,
    "transform": config.TransformConfig,
    "rescore": config.RescoreConfig,
    "export": config.ExportConfig,
    "import": config.ImportConfig,
    "serve": config.ServeConfig,
    "rollout.engine, evaluate.engine, serve.engine": config.EngineConfig,
    "rollout.sampling, evaluate.sampling": config.SamplingConfig,
}
HEAD = """# Configuration

Every stage reads one table of a TOML file (`--config FILE`); command-line options win over the file, and
`--set table.key=value` wins over both. An unknown key is an error that names the closest one. `--dry-run`
prints the resolved settings. An environment's settings are in `[env.NAME]`, on the command line `--set
env.NAME.key=value`; its README lists them. Environment variables hold secrets and paths only:
`AGENTRAY_API_KEY` (the key for endpoints, and the one a served model asks for), `AGENTRAY_CACHE` (fetched
models), `AGENTRAY_TEST_DATA` (real benchmark records for tests), `RAY_ADDRESS` (a cluster to join).

This page is generated from the code by `python docs/generate.py`.
"""


def render() -> str:
    """The page."""
    parts = [HEAD]
    for table, kind in TABLES.items():
        parts.append(
            f"## [{table}]\n\n{_first_line(kind)}\n\n| setting | default | meaning |\n|---|---|---|\n"
        )
        for name, field in kind.model_fields.items():
            meaning = (field.description or "").replace("\n", " ").replace("|", "\\|")
            parts[-1] += f"| `{name}` | {_default(field)} | {meaning} |\n"
    return "\n".join(parts)


def _first_line(kind: type[Any]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, config.Settings):
        return "see its table"
    return f"`{field.default}`"


if __name__ == "__main__":
    page = Path(__file__).parent / "configuration.md"
    page.write_text(render(), encoding="utf-8")
    print(f"wrote {page}", file=sys.stderr)
