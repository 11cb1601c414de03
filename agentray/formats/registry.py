"""The formats by name, and which of them a record has."""

from __future__ import annotations

from functools import cache

from agentray.formats.base import Format, Record
from agentray.plugins import Seam

FORMATS = Seam(
    "format",
    {
        "openai": "agentray.formats.messages:Messages",
        "agentinstruct": "agentray.formats.agentinstruct:AgentInstruct",
        "sharegpt": "agentray.formats.sharegpt:ShareGPT",
        "completion": "agentray.formats.completion:Completion",
        "alpaca": "agentray.formats.alpaca:Alpaca",
        "atif": "agentray.formats.atif:Atif",
        "adp": "agentray.formats.adp:Adp",
    },
    "run `agentray doctor`, which lists the formats",
)


def get(name: str) -> Format:
    """A format by its name.

    Raises:
        UsageError: No format has that name, or two distributions have one.
        MissingDependencyError: It cannot be imported.
    """
    found: Format = FORMATS.load(name)()
    return found


def form_of(record: Record) -> Format | None:
    """The first format that a record has, ours before those of plugins; None where it has none."""
    return next((each for each in _formats() if each.fits(record)), None)


@cache
def _formats() -> tuple[Format, ...]:
    """All formats that can be imported; `agentray doctor` names the others."""
    good, _ = FORMATS.loadable()
    ordered = [*(name for name in FORMATS.built_in if name in good), *(good.keys() - FORMATS.built_in.keys())]
    return tuple(good[name]() for name in ordered)
