"""Conversations of others as trajectories: what they do not say stays unknown."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from agentray.formats.reasons import Unusable
from agentray.types import Conversation, Message, Reply, Task, Trajectory, Turn

POLICY = "unknown"
"""The policy of a record that does not name one."""


def to_trajectory(said: Conversation, env: str, task_id: str, policy: str = POLICY) -> Trajectory:
    """The trajectory of a conversation: all before the first reply with loss is its prompt.

    Args:
        said: The conversation.
        env: Environment of its task.
        task_id: The task's id.
        policy: Who replied.

    Returns:
        A completed attempt without a reward; nobody knows the task's data, the seed and the time it took.

    Raises:
        Unusable: A trajectory has no place for something in it.
    """
    first = next(index for index, each in enumerate(said.messages) if each.loss)
    prompt, rest = said.messages[:first], said.messages[first:]
    if said.tools or any(each.tool_calls or each.tool_call_id or each.name for each in said.messages):
        raise Unusable("has_tools", "a trajectory has no place for tools and calls of them")
    if any(each.reasoning for each in prompt):
        raise Unusable("has_reasoning", "a trajectory has no place for reasoning in its prompt")
    text = "\n".join(f"{each.role}: {each.content}" for each in prompt)
    return Trajectory(
        task=Task(env, task_id, "train", {}, hashlib.sha256(text.encode()).hexdigest()[:16]),
        prompt=tuple(Message(each.role, each.content) for each in prompt),
        turns=_turns(rest, first),
        reward=None,
        status="completed",
        sample=0,
        seed=0,
        policy=policy,
        duration_s=0.0,
    )


def _turns(said: Sequence[Message], before: int) -> tuple[Turn, ...]:
    for number, each in enumerate(said):
        expected = "user" if number % 2 else "assistant"
        if each.role != expected:
            what = f"message {before + number + 1} is of role {each.role}, not {expected}"
            raise Unusable("roles_do_not_alternate", what)
        if not number % 2 and not each.loss:
            what = f"message {before + number + 1} carries no loss, but a reply before it does"
            raise Unusable("reply_without_loss", what)
    observations = [*(each.content for each in said[1::2]), ""]
    return tuple(
        Turn(Reply(each.content, reasoning=each.reasoning), None, observation)
        for each, observation in zip(said[::2], observations, strict=True)
    )
