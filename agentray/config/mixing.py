"""Settings of the mix stage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from agentray.config.stages import Settings, TemplateConfig
from agentray.types import Split

Side = Literal["agent", "general"]
_SIDES: tuple[Side, ...] = ("agent", "general")
_NAMED = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)


class Source(Settings):
    """One source of conversations; `NAME=PATH` or `PATH` is short for a table."""

    path: Path
    """A file of conversations (AgentInstruct, ShareGPT, OpenAI messages and others), or the directory of a
    finished rollout or filter."""
    name: str = ""
    """Name under which its loss and realised ratio are reported. Empty takes the file's own; trajectories on
    the agent side are then told apart by environment."""
    side: Side = "agent"
    """Which side of η it counts on."""
    weight: float | None = Field(None, ge=0)
    """Its share among the sources of its side, before normalisation. None is its number of samples on the
    agent side, where every trajectory is then as likely as any other, and 1 on the general side."""
    env: str | None = None
    """Take only trajectories of this environment."""
    policy: str | None = None
    """Take only trajectories of this policy, by the name they carry: one teacher of several."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        """Take `NAME=PATH` apart; a source on the general side is always named, if by its file."""
        if isinstance(value, str | Path):
            return _table(value)
        if not isinstance(value, Mapping) or value.get("side") != "general" or value.get("name"):
            return value
        path = value.get("path")
        return {**value, "name": Path(path).stem} if isinstance(path, str | Path) else value


class MixConfig(Settings):
    """Which conversations to tokenize, and in what proportion training draws from them."""

    sources: list[Source] = Field([])
    """What to draw from. `agent` and `general`, as the command line has them, are shorthands: lists of paths,
    `NAME=PATH` or tables, which replace the sources of their side."""
    out: Path
    """Where the tokenized corpus, the mixture and the manifest go."""
    model: str
    """Model whose tokenizer and chat template to use."""
    eta: float = Field(0.2, ge=0, le=1)
    """Probability that a sample comes from the agent side (the paper's η)."""
    allow_splits: list[Split] = Field(["train"])
    """Splits whose trajectories may be trained on. Those of held-out environments never are."""
    max_length: int = Field(2048, ge=64)
    """Longest sample, in tokens; longer conversations are rejected and counted, as are those beyond the
    model's own context."""
    template: TemplateConfig = TemplateConfig()
    """How conversations become text."""
    validation_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of the general conversations held out of training, to measure what is forgotten."""
    seed: int = 0
    """Seed of the sample stream."""

    @model_validator(mode="before")
    @classmethod
    def _sides(cls, values: Any) -> Any:
        """Turn the shorthands `agent` and `general` into sources."""
        if not isinstance(values, Mapping):
            return values
        values = dict(values)
        for side in _SIDES:
            given, before = values.pop(side, None), values.get("sources", [])
            if given is None:
                continue
            if not isinstance(given, list | tuple) or not isinstance(before, list | tuple):
                raise ValueError(f"{side!r} is {given!r}, not a list of sources")
            others = [each for each in before if _side_of(each) != side]
            values["sources"] = [*others, *(_on_side(each, side) for each in given)]
        return values


def _table(text: str | Path) -> dict[str, Any]:
    """`NAME=PATH` as a table, and a path alone where there is a file of that name."""
    named = None if Path(text).exists() else _NAMED.fullmatch(str(text))
    return {"path": text} if named is None else {"name": named[1], "path": named[2]}


def _side_of(source: Any) -> Any:
    if isinstance(source, Source):
        return source.side
    return source.get("side", "agent") if isinstance(source, Mapping) else "agent"


def _on_side(source: Any, side: Side) -> Any:
    """A source, as it was given, on a side of η."""
    if isinstance(source, str | Path):
        source = _table(source)
    if isinstance(source, Source):
        source = source.model_dump()
    return {**source, "side": side} if isinstance(source, Mapping) else source
