"""One episode as a Gymnasium environment: replies in, observations out, under AgentTuning's harness rules."""

from __future__ import annotations

from typing import Any

from agentray.env import Step, TextEnv
from agentray.types import Task
from agentray_alfworld.generator import generate
from agentray_alfworld.goals import Goal
from agentray_alfworld.reply import parse_action, resolve
from agentray_alfworld.world import NOTHING, World

PATIENCE = 3
"""So many identical replies in a row, or replies without an action, end the episode."""


class HouseholdGame(TextEnv):
    """Reach the goal: reward 1 and the end; a limit ends the episode with reward 0."""

    def __init__(self, max_turns: int = 35, fuzzy: bool = True, show_admissible: bool = False) -> None:
        """Set the rules.

        Args:
            max_turns: Replies before the episode is cut off.
            fuzzy: Whether an impossible command becomes the most similar possible one.
            show_admissible: Whether observations end with the list of possible commands.
        """
        super().__init__()
        self._max_turns, self._fuzzy, self._show_admissible = max_turns, fuzzy, show_admissible

    def draw(self) -> Task:
        """A training task."""
        return generate("train", int(self.np_random.integers(2**31)))

    def start(self, task: Task) -> tuple[str, dict[str, Any]]:
        """Enter the household of a task."""
        self._world, self._goal = World(task.data), Goal.from_data(task.data)
        self._replies: list[str] = []
        self._actionless = 0
        first = f"Here is your task. {self._world.look()}\nYour task is to: {self._goal.sentence}."
        return self._observe(first, None)

    def play(self, reply: str) -> Step:
        """Carry out the command of a reply and answer."""
        command = parse_action(reply)
        self._replies.append(reply)
        self._actionless = 0 if command else self._actionless + 1
        observation, info = self._observe(self._perform(command), command)
        won = self._world.satisfies(self._goal)
        truncated = not won and self._exhausted()
        info["metrics"] = {f"success_{self._goal.type}": float(won)}
        return observation, float(won), won, truncated, info

    def _perform(self, command: str | None) -> str:
        if command is None:
            return NOTHING
        possible = self._world.commands()
        act = possible.get(resolve(command, possible, self._fuzzy))
        return act() if act else NOTHING

    def _exhausted(self) -> bool:
        recent = self._replies[-PATIENCE:]
        repeated = len(recent) == PATIENCE and len(set(recent)) == 1
        return repeated or self._actionless >= PATIENCE or len(self._replies) >= self._max_turns

    def _observe(self, text: str, command: str | None) -> tuple[str, dict[str, Any]]:
        possible = sorted(self._world.commands())
        if self._show_admissible:
            text = f"{text}\nAVAILABLE ACTIONS: {', '.join(possible)}"
        metrics = {f"success_{self._goal.type}": 0.0}
        return text, {"action": command, "admissible_commands": possible, "metrics": metrics}
