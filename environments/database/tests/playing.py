"""One episode without a rollout: what the tests share."""

from agentray.types import Message


def play(environment, task, reply):
    """Reward, conversation and last info of an episode; `reply` takes the messages and the last info."""
    episode = environment.make()
    observation, info = episode.reset(seed=0, options={"task": task})
    messages = [*environment.instruction(task), Message("user", observation)]
    while True:
        text = reply(messages, info)
        observation, reward, terminated, truncated, info = episode.step(text)
        messages += [Message("assistant", text, loss=True), Message("user", observation)]
        if terminated or truncated:
            return reward, messages, info
