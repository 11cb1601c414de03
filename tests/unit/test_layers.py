"""The layer table of CONTRIBUTING.md, as a test over every import statement."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "agentray"
BASE = {"types", "errors"}
CORE = BASE | {"config", "manifest", "models", "cluster", "encoding", "chat"}
ROLLOUT = CORE | {"sandbox", "env", "policy", "data"}
OURS = {
    "types": set(),
    "errors": set(),
    "sandbox": {"errors"},
    "config": BASE,
    "manifest": BASE,
    "models": BASE,
    "cluster": BASE,
    "chat": BASE | {"config"},
    "encoding": BASE,
    "env": CORE | {"sandbox"},
    "policy": CORE | {"env"},
    "data": CORE | {"env", "policy"},
    "rollout": ROLLOUT,
    "train": ROLLOUT,
    "tune": ROLLOUT | {"rollout", "train", "evaluate"},
    "serving": CORE,
    "evaluate": ROLLOUT | {"rollout"},
    "cli": None,  # everything
    "__main__": None,
    "__init__": set(),
}
THIRD_PARTY = {
    "types": set(),
    "errors": set(),
    "sandbox": set(),
    "config": {"pydantic"},
    "manifest": set(),
    "models": set(),
    "cluster": {"ray"},
    "chat": set(),
    "encoding": {"msgspec"},
    "env": {"gymnasium"},
    "policy": {"gymnasium", "aiohttp"},
    "data": {"numpy", "pyarrow"},
    "rollout": {"ray"},
    "train": {"ray", "torch", "deepspeed", "transformers", "safetensors", "numpy", "pyarrow"},
    "tune": {"ray"},
    "serving": {"ray", "vllm", "starlette", "fastapi", "pydantic", "transformers"},
    "evaluate": {"ray", "numpy", "lm_eval", "transformers", "tokenizers"},
    "cli": {"typer", "rich", "pydantic", "ray"},
    "__main__": set(),
    "__init__": set(),
}
RAY_IN_ROLLOUT = {"pool.py", "metrics.py"}
KNOWN = set().union(*THIRD_PARTY.values()) | {
    "click",
    "pandas",
    "datasets",
    "openai",
    "requests",
    "yaml",
    "psutil",
    "tokenizers",
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_layer_may(path):
    layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
    allowed = OURS[layer]
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "agentray" and rest and allowed is not None:
            target = rest.split(".")[0]
            ours = (ROOT / target).exists() or (ROOT / f"{target}.py").exists()
            assert target in allowed | {layer} or not ours, f"{layer} imports {name}"
        if top in KNOWN:
            assert top in THIRD_PARTY[layer], f"{layer} imports {top}"
        if top == "ray" and layer == "rollout":
            assert path.name in RAY_IN_ROLLOUT, f"{path.name} imports ray"


def test_files_and_functions_stay_within_the_size_limits():
    for path in [*FILES, *sorted((ROOT.parent / "environments").rglob("agentray_*/*.py"))]:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, f"{path} is too long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= 50, f"{path}: {node.name} has {lines} lines"
