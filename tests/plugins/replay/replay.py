"""A third party's training method: general samples count for less, and the weights stay near the base."""

from agentray.config import Settings
from agentray.train.methods import Method


class Replay(Method):
    """Weighs general rows, and pulls the weights back to where they began."""

    class Settings(Settings):
        """What `[train.method]` takes beside the name."""

        general_weight: float = 0.5
        """Factor on what general samples teach."""
        pull: float = 0.0
        """Strength of the pull."""

    sides_apart = True

    def prepare(self, model, base):
        """Remember where the weights began."""
        self._start = {name: each.detach().clone() for name, each in model.named_parameters()}

    def loss(self, model, row, general):
        """The text's, weighed by side."""
        losses, plain = super().loss(model, row, general)
        return losses * (self.settings.general_weight if general else 1.0), plain

    def penalty(self, model):
        """Squared distance from the start."""
        distance = sum((each - self._start[name]).pow(2).sum() for name, each in model.named_parameters())
        return self.settings.pull * distance

    def export(self, model, weights, directory):
        """The model, and a note."""
        super().export(model, weights, directory)
        (directory / "replay.txt").write_text(f"weight {self.settings.general_weight}\n")
