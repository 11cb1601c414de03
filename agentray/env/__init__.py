"""Environments: the contract, the registry and the contract's checker."""

from agentray.env.base import Environment, Expert, Hosting, TextEnv, fingerprint, text_space
from agentray.env.check import check_environment
from agentray.env.optional import (
    FUNCTION_CALL_ERROR,
    FUNCTION_REPETITION,
    INVALID_ACTION,
    Diagnoses,
    ErrorType,
    Finding,
    Rescores,
)
from agentray.env.registry import build, names, resolve
from agentray.env.settings import check_bool, check_ids, check_int, check_path

__all__ = [
    "FUNCTION_CALL_ERROR",
    "FUNCTION_REPETITION",
    "INVALID_ACTION",
    "Diagnoses",
    "Environment",
    "ErrorType",
    "Expert",
    "Finding",
    "Hosting",
    "Rescores",
    "TextEnv",
    "build",
    "check_bool",
    "check_environment",
    "check_ids",
    "check_int",
    "check_path",
    "fingerprint",
    "names",
    "resolve",
    "text_space",
]
