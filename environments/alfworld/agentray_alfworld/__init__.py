"""Household tasks in ALFWorld's text: an agentray environment, and `agentray/Alfworld-v0` in Gymnasium."""

import gymnasium

from agentray_alfworld.plugin import Alfworld

# The spaces are text of any characters, which Gymnasium's own checker does not know.
gymnasium.register(
    id="agentray/Alfworld-v0",
    entry_point="agentray_alfworld.game:HouseholdGame",
    disable_env_checker=True,
)

__all__ = ["Alfworld"]
