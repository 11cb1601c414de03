"""Ray Train's trainer, less what a local Ray does not need."""

from __future__ import annotations

import os

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import RayTrainCallback


class Trainer(TorchTrainer):  # type: ignore[misc]
    """A TorchTrainer whose controller is not watched on a local Ray, which ends with its driver anyway.

    The watcher asks the cluster that `/tmp/ray/ray_current_cluster` names. That is another one where somebody
    ran `ray start`, and none where it died: each training then ends 12 s later, or loses its workers.
    """

    def _create_default_callbacks(self) -> list[RayTrainCallback]:
        callbacks: list[RayTrainCallback] = super()._create_default_callbacks()
        if os.environ.get("RAY_ADDRESS"):
            return callbacks
        return [each for each in callbacks if not isinstance(each, PlacementGroupCleanerCallback)]
