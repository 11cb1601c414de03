"""Policies: the contract, the kinds we bring, and how a name becomes one."""

from agentray.policy.base import BasePolicy, Policy
from agentray.policy.resolve import resolve_policy

__all__ = ["BasePolicy", "Policy", "resolve_policy"]
