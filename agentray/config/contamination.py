"""Settings of the contamination report."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from agentray.config.stages import EnvSettings, Settings


class ContaminationConfig(Settings):
    """How much of the test sets also occurs in the training text."""

    train: list[str] = Field(min_length=1)
    """Training text: rollout or filter directories, files of conversations, `FILE:FIELD+FIELD` or
    `env:ENVIRONMENT/SPLIT`, optionally preceded by `NAME=`."""
    test: list[str] = Field(min_length=1)
    """Test sets, named in the same way."""
    out: Path | None = None
    """Where `contamination.json` and the manifest go; None prints the result only."""
    tokenizer: str | None = None
    """Model whose tokenizer splits the text; None splits it into lower-case words and punctuation marks."""
    length: int = Field(10, ge=1)
    """Consecutive equal tokens that begin a span; 10 in the paper."""
    budget: int = Field(4, ge=0)
    """Maximum number of positions after these that may differ; 4 in the paper."""
    num_tasks: int = Field(100, ge=1)
    """Tasks of each `env:` source."""
    num_spans: int = Field(5, ge=0)
    """Maximum number of matching spans shown per pair of training text and test set, longest first."""
    env: EnvSettings = Field({})
    """Settings per environment id."""
