"""Environments: the contract, the registry and the contract's checker."""

from agentray.env.base import Environment, Expert, Hosting, TextEnv, fingerprint, text_space
from agentray.env.check import check_environment
from agentray.env.registry import build, names, resolve

__all__ = [
    "Environment",
    "Expert",
    "Hosting",
    "TextEnv",
    "build",
    "check_environment",
    "fingerprint",
    "names",
    "resolve",
    "text_space",
]
