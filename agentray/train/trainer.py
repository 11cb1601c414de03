"""Ray Train's trainer, less what a local Ray does not need."""

from __future__ import annotations

import os
from typing import Any

from ray.train.torch import TorchTrainer

from agentray.compat import without_cluster_watch


class Trainer(TorchTrainer):  # type: ignore[misc]
    """A TorchTrainer whose controller is not watched on a local Ray, which ends with its driver anyway."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks: list[Any] = super()._create_default_callbacks()
        return callbacks if os.environ.get("RAY_ADDRESS") else without_cluster_watch(callbacks)
