"""The layer table of CONTRIBUTING.md, as a test over every import statement."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "agentray"
BASE = {"types", "errors"}
CORE = BASE | {
    "plugins",
    "config",
    "manifest",
    "stage",
    "models",
    "compat",
    "cluster",
    "parallel",
    "encoding",
    "chat",
}
ACTING = CORE | {"sandbox", "env", "policy", "data", "rollout"}
SCORING = ACTING | {"transforms", "evaluate"}
OURS = {
    "types": set(),
    "errors": set(),
    "plugins": BASE,
    "config": BASE,
    "manifest": BASE,
    "stage": BASE | {"config", "manifest"},
    "models": BASE,
    "convert": BASE,
    "compat": set(),
    "cluster": BASE | {"compat"},
    "parallel": BASE | {"cluster"},
    "encoding": BASE,
    "chat": BASE | {"config", "models"},
    "sandbox": {"errors"},
    "env": CORE | {"sandbox"},
    "policy": CORE | {"env"},
    "data": CORE | {"env"},
    "rollout": ACTING,
    "formats": CORE | {"data"},
    "mix": CORE | {"env", "data", "formats"},
    "train": CORE | {"mix"},
    "transforms": ACTING,
    "evaluate": SCORING,
    "suites": SCORING | {"formats"},
    "contamination": SCORING | {"formats"},
    "overall": SCORING | {"suites"},
    "report": SCORING | {"suites", "overall", "formats", "mix"},
    "tune": SCORING | {"mix", "train", "report"},
    "serving": CORE,
    "cli": None,  # everything
    "__main__": None,
    "__init__": set(),
}
OURS["recipes"] = set(OURS) - {"cli", "__main__"}
THIRD_PARTY = {
    "types": set(),
    "errors": set(),
    "plugins": set(),
    "config": {"pydantic"},
    "manifest": set(),
    "stage": {"pydantic"},
    "models": set(),
    "convert": {"torch", "transformers"},
    "compat": {"ray"},
    "cluster": {"ray"},
    "parallel": {"ray"},
    "encoding": {"msgspec"},
    "chat": {"transformers"},
    "sandbox": set(),
    "env": {"gymnasium", "pydantic"},
    "policy": {"gymnasium", "pydantic", "aiohttp"},
    "data": {"numpy", "pyarrow"},
    "rollout": {"ray"},
    "formats": {"numpy", "pyarrow"},
    "mix": {"numpy", "pyarrow"},
    "train": {"pydantic", "ray", "torch", "deepspeed", "transformers", "safetensors", "numpy", "pyarrow"},
    "transforms": {"numpy", "pyarrow", "pydantic"},
    "evaluate": {"numpy", "pydantic"},
    "suites": {"ray", "pyarrow", "lm_eval", "datasets", "nltk"},
    "contamination": {"ray", "numpy", "pyarrow", "transformers", "tokenizers"},
    "overall": {"pydantic"},
    "report": {"numpy", "jinja2", "markupsafe", "pydantic", "transformers", "tokenizers"},
    "tune": {"ray"},
    "serving": {"ray", "psutil", "vllm", "starlette", "fastapi", "pydantic", "transformers"},
    "recipes": {"pydantic"},
    "cli": {"typer", "rich", "pydantic", "ray"},
    "__main__": set(),
    "__init__": set(),
}
RAY_IN_ROLLOUT = {"pool.py", "engines.py", "metrics.py"}
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


def test_private_parts_of_ray_are_imported_in_one_file_alone():
    private = {
        str(path.relative_to(ROOT)): name
        for path in FILES
        for name in imports(path)
        if name.startswith("ray.") and any(part.startswith("_") for part in name.split("."))
    }
    assert set(private) == {"compat.py"}, private


def test_files_and_functions_stay_within_the_size_limits():
    for path in [*FILES, *sorted((ROOT.parent / "environments").rglob("agentray_*/**/*.py"))]:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, f"{path} is too long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= 50, f"{path}: {node.name} has {lines} lines"
