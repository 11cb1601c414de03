"""Three transforms: one that changes, one that asks a policy, one that is wrong; and something else."""

import os
from dataclasses import replace
from pathlib import Path

from agentray.transforms import Context, Outcome, Rejection, Rule, Trajectory, Transform
from agentray.types import Message, Sampling

NOTHING = object()


class Scissors(Transform):
    """Cut attempts to their first turns."""

    class Settings(Transform.Settings):
        """Where to cut."""

        most: int = 1
        """Most turns."""

    settings: Settings

    def __call__(self, trajectory: Trajectory, context: Context) -> Outcome:
        """The beginning of the trajectory."""
        if not trajectory.turns:
            return Rejection(trajectory.key, "nothing_to_cut", f"it {trajectory.status}")
        turns = trajectory.turns[: self.settings.most]
        return trajectory if turns == trajectory.turns else replace(trajectory, turns=turns)


class Labels(Transform):
    """Ask a policy for a label of each attempt; one that it calls bad is rejected."""

    class Settings(Transform.Settings):
        """What is noted."""

        ledger: Path
        """File with a line for every question that was asked."""
        dies_after: Path | None = None
        """File with the number of questions after which the process dies, as if killed; none, no death."""

    settings: Settings

    async def __call__(self, trajectory: Trajectory, context: Context) -> Outcome:
        """The trajectory with its label as a metric."""
        question = Message("user", f"Label {trajectory.key}.")
        reply = await context.policy.act([question], Sampling(), {})
        asked, dies = self._note(trajectory.key), self.settings.dies_after
        if dies is not None and dies.exists() and asked > int(dies.read_text(encoding="utf-8")):
            os._exit(9)
        if reply.text == "bad":
            return Rejection(trajectory.key, "bad", "the policy says so")
        return replace(trajectory, metrics={**trajectory.metrics, "label": float(reply.text)})

    def _note(self, key: str) -> int:
        with self.settings.ledger.open("a", encoding="utf-8") as stream:
            stream.write(f"{key}\n")
        return len(self.settings.ledger.read_text(encoding="utf-8").splitlines())


class Nonsense(Rule):
    """Reject for a reason that is not a word."""

    def reason(self, trajectory: Trajectory, context: Context) -> str | None:
        """A number."""
        return 7  # type: ignore[return-value]
