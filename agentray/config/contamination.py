"""Settings of the contamination report."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from agentray.config.stages import EnvSettings, Settings


class ContaminationConfig(Settings):
    """How much of test sets training text has too."""

    train: list[str] = Field(min_length=1)
    """Training text: rollout or filter directories, files of conversations, `FILE:FIELD+FIELD` or
    `env:ENVIRONMENT/SPLIT`, each with `NAME=` before it or not."""
    test: list[str] = Field(min_length=1)
    """Test sets, named in the same way."""
    out: Path | None = None
    """Where `contamination.json` and the manifest go; None only prints."""
    tokenizer: str | None = None
    """Model whose tokenizer cuts the text; None cuts words and single marks, in lower case."""
    length: int = Field(10, ge=1)
    """Tokens in a row that must be equal for a span to begin; the paper has 10."""
    budget: int = Field(4, ge=0)
    """Most positions of a span that may differ after these; the paper has 4."""
    num_tasks: int = Field(100, ge=1)
    """Tasks of each `env:` source."""
    num_spans: int = Field(5, ge=0)
    """Most matching spans to show for each pair of training text and test set, longest first."""
    env: EnvSettings = Field({})
    """Settings per environment id."""
