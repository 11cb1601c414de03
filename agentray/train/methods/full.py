"""All weights learn from the text, but for the layers that are frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field
from torch import nn
from transformers import AutoConfig, PreTrainedModel

from agentray import config
from agentray.errors import UsageError
from agentray.train.methods.base import Method

if TYPE_CHECKING:
    from agentray.train.engine import Engine


class Full(Method):
    """Fine-tuning of the weights."""

    class Settings(config.Settings):
        """Settings of `full`."""

        frozen_layers: int = Field(0, ge=0)
        """Lowest decoder layers that keep their weights, with the embeddings: cheaper, and less is
        forgotten."""
        interpolation: float = Field(1.0, gt=0, le=1)
        """How far the saved model lies on the line from the base weights to the trained ones. Below 1, less
        is forgotten at little cost (WiSE-FT, arXiv 2109.01903)."""

    settings: Settings

    def check(self, model: str) -> None:
        """Refuse to train nothing.

        Raises:
            UsageError: The model has no more layers than are to be frozen.
        """
        count = self.settings.frozen_layers
        layers = AutoConfig.from_pretrained(model).get_text_config().num_hidden_layers
        if count >= layers:
            raise UsageError(
                f"train.method.frozen_layers is {count}",
                f"the model has {layers} layers, so nothing would be trained",
                f"--set train.method.frozen_layers={layers // 3}",
            )

    def prepare(self, model: PreTrainedModel, base: Callable[[], PreTrainedModel]) -> None:
        """Freeze the lowest layers."""
        self._base = base
        freeze(model, self.settings.frozen_layers)

    def after(self, engine: Engine) -> None:
        """Move the weights back towards the base."""
        if self.settings.interpolation < 1:
            engine.interpolate(self._base().state_dict(), self.settings.interpolation)


def freeze(model: PreTrainedModel, count: int) -> None:
    """Keep the lowest `count` decoder layers, and all before them, as they are.

    The backward pass ends above them, so a step costs less.

    Raises:
        UsageError: The model's decoder layers cannot be told from its other parts.
    """
    if count == 0:
        return
    before, layers = _decoder_layers(model)
    for module in [model.get_input_embeddings(), *before, *layers[:count]]:
        module.requires_grad_(False)


def _decoder_layers(model: PreTrainedModel) -> tuple[list[nn.Module], nn.ModuleList]:
    """What a decoder has before its layers (embeddings of tokens and positions), and the layers."""
    count = model.config.get_text_config().num_hidden_layers
    for parent in model.get_decoder().modules():  # outer modules come first, so no list of experts is found
        before: list[nn.Module] = []
        for child in parent.children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return before, child
            before.append(child)
    raise UsageError(
        "train.method.frozen_layers does not work with this model",
        f"{type(model).__name__} has no list of {count} decoder layers",
        "--set train.method.frozen_layers=0",
    )
