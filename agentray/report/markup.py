"""Renders the templates of this package: escaped by default, and an unknown name in one is an error."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from agentray.evaluate.score import FEW
from agentray.report import text


@cache
def environment() -> Environment:
    """The templates and their filters; every value passes through `text.visible`, then it is escaped."""
    made = Environment(
        loader=PackageLoader("agentray.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=text.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "across": lambda share: f"{100 * min(1.0, max(0.0, share)):.2f}%",
        "cell": text.cell,
        "duration": text.duration,
        "entry": lambda mapping, name: mapping.get(name),
        "of": lambda name, mapping: mapping[name],
        "p_value": text.p_value,
        "percent": text.percent,
        "setting": text.setting,
        "thousands": text.thousands,
        "values": lambda mapping: list(mapping.values()),
    }
    made.globals |= {"few": FEW, "link": _link}
    return made


def render(template: str, **values: Any) -> str:
    """A template as text that can be encoded as UTF-8."""
    return environment().get_template(template).render(values)


def _link(**filters: str) -> str:
    """Address of the page's browser with filters set."""
    return "#trajectories?" + urlencode(filters, quote_via=quote, errors="replace")
