"""Environments: the contract, the registry and the contract's checker."""

from agentray.env.base import EnvironmentSettings, Expert, Hosting, TextEnvironment, fingerprint
from agentray.env.check import check_environment
from agentray.env.findings import (
    FUNCTION_CALL_ERROR,
    FUNCTION_REPETITION,
    INVALID_ACTION,
    ErrorType,
    Finding,
)
from agentray.env.registry import ENVIRONMENTS, build, check_ids, names, resolve
from agentray.env.text import Game, Step, TextEnv, text_space

__all__ = [
    "ENVIRONMENTS",
    "FUNCTION_CALL_ERROR",
    "FUNCTION_REPETITION",
    "INVALID_ACTION",
    "EnvironmentSettings",
    "ErrorType",
    "Expert",
    "Finding",
    "Game",
    "Hosting",
    "Step",
    "TextEnv",
    "TextEnvironment",
    "build",
    "check_environment",
    "check_ids",
    "fingerprint",
    "names",
    "resolve",
    "text_space",
]
