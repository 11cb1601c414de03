"""Finds environments by name and builds them from a plain, picklable `EnvSpec`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agentray.env.base import TextEnvironment
from agentray.errors import MissingDependencyError, UsageError, closest
from agentray.plugins import Seam, load_attribute
from agentray.types import EnvSpec

ENVIRONMENTS = Seam(
    "environment",
    {"count": "agentray.env.count:Count", "prompts": "agentray.env.prompts:Prompts"},
    "run `agentray environments`, or install its plugin: pip install agentray-NAME",
)


def names() -> list[str]:
    """Ids of all installed environments, sorted; those that cannot be imported too."""
    return ENVIRONMENTS.names()


def resolve(name: str, settings: Mapping[str, Any] | None = None) -> EnvSpec:
    """Spec of an installed environment.

    Raises:
        UsageError: No environment of that name is installed, or two are.
    """
    return EnvSpec(name, ENVIRONMENTS.entry_point(name), dict(settings or {}))


def build(spec: EnvSpec) -> TextEnvironment:
    """The environment of a spec.

    Raises:
        UsageError: It refuses its settings, or is not an environment.
        MissingDependencyError: Its module cannot be imported.
    """
    try:
        kind = load_attribute(spec.entry_point)
    except Exception as error:  # a plugin's module may raise anything while it is imported
        raise MissingDependencyError(
            f"environment {spec.id!r} cannot be imported",
            f"{spec.entry_point}: {type(error).__name__}: {' '.join(str(error).split())}",
            f"pip install agentray-{spec.id} where the workers run",
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, TextEnvironment)):
        raise UsageError(
            f"environment {spec.id!r} cannot be built",
            f"{spec.entry_point} is not a subclass of agentray.env.TextEnvironment",
            "correct its entry point, or make it one",
        )
    try:
        return kind(**spec.kwargs)
    except TypeError as error:  # an abstract method is missing, or its own __init__ takes other arguments
        raise UsageError(
            f"environment {spec.id!r} does not take these settings: {sorted(spec.kwargs)}",
            str(error),
            "correct the plugin, or see its README for its settings",
        ) from error


def check_ids(settings: Iterable[str]) -> None:
    """Refuse settings of an environment that is not installed: nobody would read them.

    Args:
        settings: Environment ids, or settings by them.

    Raises:
        UsageError: An id is unknown; the message names the closest.
    """
    for env in settings:
        if env not in names():
            raise UsageError(
                f"settings for an unknown environment {env!r}", closest(env, names()), "correct its name"
            )
