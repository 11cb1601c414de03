"""Steps over stored trajectories: keep, score again, change; one stage that chains and counts them."""

from agentray.transforms.base import TRANSFORMS, Outcome, Rule, Transform
from agentray.transforms.context import Context
from agentray.types import Rejection, Trajectory

__all__ = ["TRANSFORMS", "Context", "Outcome", "Rejection", "Rule", "Trajectory", "Transform"]
