"""Converts a GGUF file to the safetensors directory that transformers and vLLM load.

Why it exists: no model hub can be reached on many machines, but a package index can, and it carries
pretrained weights as quantised GGUF. The quantised values are unpacked once and saved as bfloat16.

    python -m agentray.convert MODEL.gguf OUT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from agentray.errors import AgentrayError, DataError, MissingDependencyError, UsageError


def convert(gguf: Path, out: Path) -> None:
    """Write weights, config, tokenizer, chat template and generation config into `out`.

    Args:
        gguf: File to read.
        out: Directory to write; created when absent.

    Raises:
        MissingDependencyError: transformers, torch or gguf is not installed.
        UsageError: The file does not exist.
        DataError: The file is not a model with a tokenizer and a chat template.
    """
    if not gguf.is_file():
        raise UsageError(f"no file {str(gguf)!r}", "it does not exist", "give the path of a GGUF file")
    os.environ["HF_HUB_OFFLINE"] = "1"  # else transformers asks the hub about a local directory
    try:
        import gguf as _gguf  # noqa: F401  transformers needs it and says so only halfway
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "cannot convert GGUF weights", str(error), 'pip install "agentray[train]"'
        ) from error
    tokenizer, model, missing, unexpected = _read(gguf, torch.bfloat16)
    if unexpected or missing:
        raise DataError(
            f"{str(gguf)!r} does not fill its model",
            f"missing {missing}, unexpected {unexpected}",
            "download it again, or convert a Llama-style model",
        )
    if not tokenizer.chat_template:
        raise DataError(
            f"{str(gguf)!r} has no chat template",
            "only instruction-tuned models carry one",
            "convert an instruction-tuned model",
        )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _read(gguf: Path, dtype: Any) -> tuple[Any, Any, list[str], list[str]]:
    """Tokenizer and model of a file, and the weights that it lacks or has too many."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    directory, name = str(gguf.resolve().parent), gguf.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, gguf_file=name)
        config = AutoConfig.from_pretrained(directory, gguf_file=name)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        # `from_pretrained(gguf_file=...)` does the same, but insists on accelerate, which it does not use.
        loaded = load_gguf_checkpoint(str(gguf), return_tensors=True, model_to_load=model, torch_dtype=dtype)
        missing, unexpected = model.load_state_dict(loaded["tensors"], strict=False)
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise DataError(
            f"cannot read {str(gguf)!r}", f"not a GGUF model: {error}", "download it again"
        ) from error
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    return tokenizer, model, sorted(set(missing) - tied), sorted(unexpected)


def main(arguments: list[str]) -> int:
    """Command line: 0 done, 1 failed, 2 wrong arguments."""
    if len(arguments) != 2:
        print("usage: python -m agentray.convert MODEL.gguf OUT", file=sys.stderr)
        return 2
    try:
        convert(Path(arguments[0]), Path(arguments[1]))
    except AgentrayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
