"""What a training method is: a class that says what is learnt from a row and which weights it moves.

The loop draws, packs, steps and logs; it never asks which method it has. The defaults here train all weights
on the text, so a method writes only what it does otherwise:

    class Half(Method):
        def loss(self, model, row, general):
            losses, plain = super().loss(model, row, general)
            return losses * (0.5 if general else 1.0), plain
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor
from transformers import PreTrainedModel

from agentray import config
from agentray.mix.packing import Row
from agentray.train.export import write_model
from agentray.train.model import token_losses

if TYPE_CHECKING:
    from agentray.train.engine import Engine


class Method:
    """Base of all training methods; registered under `agentray.training_methods`.

    Args:
        settings: Of the class's own `Settings`: the table `[train.method]` without its name.
    """

    class Settings(config.Settings):
        """Settings of the method."""

    sides_apart: ClassVar[bool] = False
    """Whether agent and general samples lie in rows of their own, so that `loss` can treat them differently;
    else they share rows, which are fewer then."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def check(self, model: str) -> None:
        """Refuse what cannot work with a model, before Ray starts; `model` is a directory or id.

        Raises:
            UsageError: A setting does not fit the model.
        """

    def prepare(self, model: PreTrainedModel, base: Callable[[], PreTrainedModel]) -> None:
        """Freeze parameters, add some, or load what the loss compares with.

        Called on each worker at each start, before the optimizer is made of the parameters that require a
        gradient and before a checkpoint of these is loaded.

        Args:
            model: What is trained, with the base weights, on the CPU.
            base: Loads the base model once more, as training loads it, on the CPU.
        """

    def loss(self, model: PreTrainedModel, row: Row, general: bool) -> tuple[Tensor, Tensor]:
        """What a row teaches.

        Args:
            model: What is trained.
            row: Packed samples; `row.samples` says whose each target is.
            general: True where all of them are general ones; never without `sides_apart`.

        Returns:
            Terms to learn from, float32 of any shape, which are summed over the step and divided by its
            number of targets; and the cross-entropy of every target, float32 (targets,) without gradient,
            which is logged.
        """
        losses = token_losses(model, row)
        return losses, losses.detach()

    def penalty(self, model: PreTrainedModel) -> Tensor | None:
        """A term on the weights alone, float32 (), added once per step; None for none.

        At ZeRO 3 the parameters are shards here: gather what it reads.
        """
        return None

    def after(self, engine: Engine) -> None:
        """What to do to the weights after the last step; on every worker, once."""

    def export(self, model: PreTrainedModel, weights: Mapping[str, Tensor], directory: Path) -> None:
        """Write a directory that `transformers` and vLLM load; on one worker, which may be the last alive.

        Args:
            model: What was trained, for its configuration; its own parameters may be shards.
            weights: Whole parameters by name, on the CPU.
            directory: Where to; created when absent.
        """
        write_model(model, weights, directory)
