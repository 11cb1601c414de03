"""Finds environments by name and builds them from a plain, picklable `EnvSpec`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from agentray.env.base import Environment
from agentray.errors import MissingDependencyError, UsageError, closest
from agentray.types import EnvSpec

GROUP = "agentray.environments"
_BUILT_IN = {"count": "agentray.env.count:Count", "general": "agentray.env.general:General"}


@cache
def _registered() -> dict[str, str]:
    """Entry point by environment id; a plugin distribution overrides nothing of ours."""
    found = {point.name: point.value for point in entry_points(group=GROUP)}
    return {**found, **_BUILT_IN}


def names() -> list[str]:
    """Ids of all installed environments, sorted."""
    return sorted(_registered())


def resolve(name: str, kwargs: Mapping[str, Any] | None = None) -> EnvSpec:
    """Spec of an installed environment.

    Raises:
        UsageError: No environment of that name is installed.
    """
    registered = _registered()
    if name not in registered:
        raise UsageError(
            f"unknown environment {name!r}",
            closest(name, registered),
            "run `agentray environments`, or install its plugin: pip install agentray-NAME",
        )
    return EnvSpec(id=name, entry_point=registered[name], kwargs=dict(kwargs or {}))


def build(spec: EnvSpec) -> Environment:
    """The environment of a spec.

    Raises:
        UsageError: The environment refuses its arguments.
        MissingDependencyError: Its module cannot be imported.
    """
    try:
        factory = load_attribute(spec.entry_point)
    except ImportError as error:
        raise MissingDependencyError(
            f"environment {spec.id!r} cannot be imported",
            str(error),
            f"pip install agentray-{spec.id} where the workers run",
        ) from error
    try:
        environment: Environment = factory(**spec.kwargs)
    except TypeError as error:
        raise UsageError(
            f"environment {spec.id!r} does not take these settings: {sorted(spec.kwargs)}",
            str(error),
            f"see the README of agentray-{spec.id} for its settings",
        ) from error
    return environment


def load_attribute(entry_point: str) -> Any:
    """The object that `module:attribute` names.

    Raises:
        ImportError: No such module or attribute.
    """
    module_name, _, attribute = entry_point.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except AttributeError as error:
        raise ImportError(f"{module_name} has no {attribute!r}") from error
