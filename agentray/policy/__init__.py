"""Policies: the contract, the kinds we bring, and how a name becomes one."""

from agentray.policy.base import Policy
from agentray.policy.resolve import resolve_policy

__all__ = ["Policy", "resolve_policy"]
