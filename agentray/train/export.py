"""Writes the model directory that `transformers` and vLLM load, and tries it before anything is trained."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.utils import cached_file, logging

from agentray.errors import AgentrayError, DataError, ResourceError
from agentray.manifest import write_json

_GENERATION = "generation_config.json"


def write_model(model: PreTrainedModel, weights: Mapping[str, torch.Tensor], directory: Path) -> None:
    """Write configuration and weights, the latter in bfloat16.

    Args:
        model: The model, for its configuration. The generation settings of what it was loaded from are copied
            as they are, because `transformers` loads some that it refuses to save.
        weights: By name.
        directory: Where to; created when absent.
    """
    state = {name: value.to(torch.bfloat16) for name, value in weights.items()}
    source = model.name_or_path
    given = source and cached_file(source, _GENERATION, _raise_exceptions_for_missing_entries=False)
    own = model.generation_config
    if given:
        model.generation_config = GenerationConfig()
    # By itself `save_pretrained` writes on the first worker only, and another may be the one that is left.
    model.should_save_on_this_rank = lambda is_main_process: True
    try:
        model.save_pretrained(directory, state_dict=state)
    finally:
        model.generation_config = own
        del model.should_save_on_this_rank
    if given:
        (directory / _GENERATION).write_bytes(Path(given).read_bytes())
    # `save_pretrained` notes the type the model trained in, not the one of the weights it was given.
    described = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    write_json(directory / "config.json", {**described, "dtype": "bfloat16"})


def rehearse(base: str, tokenizer: Any, out: Path) -> None:
    """Write all but the weights as the end of training will, and drop it again.

    Args:
        base: A model directory or id.
        tokenizer: Its tokenizer.
        out: Run directory; holds the files for the moment.

    Raises:
        DataError: `transformers` refuses to save what it loaded.
        ResourceError: The disk has no room for the weights.
    """
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
        needed = 2 * sum(each.numel() for each in model.parameters())
        with _quiet(), tempfile.TemporaryDirectory(prefix=".export-", dir=out) as directory:
            write_model(model, {}, Path(directory))
            tokenizer.save_pretrained(directory)
    except AgentrayError:
        raise
    except Exception as error:  # a file of the model that loads may break in any way when it is saved
        raise DataError(
            f"the tuned model of {base!r} could not be saved",
            f"tried before the first step: {type(error).__name__}: {' '.join(str(error).split())}",
            "fix the model's config.json or tokenizer files",
        ) from error
    free = shutil.disk_usage(out).free
    if free < needed:
        raise ResourceError(
            f"{free >> 20} MiB are free in {str(out)!r}",
            f"the tuned model takes {needed >> 20} MiB",
            "free space there, or give another --out",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar, and no word of DeepSpeed, which `transformers` loads, on an accelerator it misses."""
    named = "DS_ACCELERATOR" in os.environ or torch.cuda.is_available()
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    if not named:
        os.environ["DS_ACCELERATOR"] = "cpu"
    try:
        yield
    finally:
        if not named:
            del os.environ["DS_ACCELERATOR"]  # workers may have one
        if shown:
            logging.enable_progress_bar()
