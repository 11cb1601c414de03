"""General samples follow the base model's own distribution, which keeps the model where it was.

Learning without forgetting (Li and Hoiem 2016, arXiv:1606.09282); agent samples are learnt from as in `full`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from agentray.mix.packing import Row
from agentray.train.methods.full import Full
from agentray.train.model import LOSS_CHUNK, target_logits


class Distill(Full):
    """Fine-tuning that distils general samples from the base model, which each worker holds too."""

    class Settings(Full.Settings):
        """Settings of `distill`."""

        share: float = Field(1.0, gt=0, le=1)
        """Share of the base model's distribution, against the text, in what general samples teach."""
        temperature: float = Field(1.0, gt=0)
        """Temperature of that distribution: the one at which the base model wrote the answers, if it did."""

    settings: Settings
    sides_apart: ClassVar[bool] = True

    def prepare(self, model: PreTrainedModel, base: Callable[[], PreTrainedModel]) -> None:
        """Load the reference as well."""
        super().prepare(model, base)
        self._reference = base().eval().requires_grad_(False)

    def loss(self, model: PreTrainedModel, row: Row, general: bool) -> tuple[Tensor, Tensor]:
        """As `full`, but for rows of general samples."""
        if not general:
            return super().loss(model, row, general)
        reference = self._reference.to(next(model.parameters()).device)
        return distilled_losses(model, reference, row, self.settings.share, self.settings.temperature)


def distilled_losses(
    model: PreTrainedModel, reference: PreTrainedModel, row: Row, share: float, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """What to learn from a row when a reference model's distribution counts as well as the text.

    Args:
        model: What is trained.
        reference: Its teacher.
        row: Packed samples.
        share: Of the reference, in [0, 1].
        temperature: Of the reference's distribution: the one at which it wrote the text, if it did.

    Returns:
        `(1 - share)` times the cross-entropy of every target plus `share` times that of its distribution with
        the reference's, and the former alone, without gradient: both float32 (targets,). The latter term has
        the gradient of the Kullback-Leibler divergence (Hinton et al. 2015, arXiv:1503.02531, equation 2, the
        student's temperature being 1).
    """
    with torch.no_grad():
        theirs = torch.split(target_logits(reference, row), LOSS_CHUNK)
    mine = torch.split(target_logits(model, row), LOSS_CHUNK)
    targets = torch.split(torch.from_numpy(row.targets).long().to(mine[0].device), LOSS_CHUNK)
    learnt, plain = [], []
    for own, wanted, target in zip(mine, theirs, targets, strict=True):
        logits = own.float()
        with torch.no_grad():
            distribution = (wanted.float() / temperature).softmax(-1)
        text = functional.cross_entropy(logits, target, reduction="none")
        soft = functional.cross_entropy(logits, distribution, reduction="none")
        learnt.append(torch.lerp(text, soft, share))
        plain.append(text.detach())
    return torch.cat(learnt), torch.cat(plain)
