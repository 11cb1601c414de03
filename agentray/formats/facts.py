"""What is known of a trajectory besides what was said: a format keeps it, or an export counts it as lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentray.types import Reply, Trajectory, Turn


def _of_turns(holds: Callable[[Turn], Any]) -> Callable[[Trajectory], bool]:
    return lambda trajectory: any(map(holds, trajectory.turns))


def _of_replies(holds: Callable[[Reply], Any]) -> Callable[[Trajectory], bool]:
    return _of_turns(lambda turn: holds(turn.reply))


FACTS: Mapping[str, Callable[[Trajectory], bool]] = {
    "task": lambda _: True,  # environment and id
    "task_data": lambda each: bool(each.task.data),  # with split and fingerprint
    "policy": lambda _: True,
    "reward": lambda each: each.reward is not None,
    "status": lambda each: each.status != "completed",
    "metrics": lambda each: bool(each.metrics),
    "sampling": lambda each: each.temperature is not None,  # with sample and seed
    "timing": lambda each: each.duration_s > 0,
    "actions": _of_turns(lambda turn: turn.action is not None),
    "turn_rewards": _of_turns(lambda turn: turn.reward),
    "states": _of_turns(lambda turn: turn.state is not None),
    "token_ids": _of_replies(lambda reply: reply.token_ids is not None),
    "logprobs": _of_replies(lambda reply: reply.logprobs is not None),
    "usage": _of_replies(lambda reply: reply.usage is not None),
    "finish_reason": _of_replies(lambda reply: reply.finish_reason is not None),
    "prefix_kept": _of_replies(lambda reply: reply.prefix_kept is not None),
    "source": _of_replies(lambda reply: reply.source is not None),
    "last_observation": lambda each: bool(each.turns and each.turns[-1].observation),
}
"""Name of each, and whether a trajectory has it."""
