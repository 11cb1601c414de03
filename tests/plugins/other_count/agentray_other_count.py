"""An environment with the name of another one."""

from agentray.env import count


class Count(count.Count):
    """Counting, by someone else."""
