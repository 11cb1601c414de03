"""Every use of what Ray keeps private, with the reason; checked against Ray 2.60.0.

When Ray moves one of these, this is the file to correct. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_GCS_TIMEOUT_S = 15


def model_card(name: str, metadata: Mapping[str, Any]) -> Any:
    """What `/v1/models` says about a model: Ray Serve's own card has no place for more facts."""
    from ray.llm._internal.serve.core.configs.openai_api_models import ModelCard

    return ModelCard(id=name, object="model", owned_by="agentray", permission=[], metadata=dict(metadata))


def ingress_app() -> Any:
    """Ray Serve's FastAPI application for language models: there is no public way to add a layer to it."""
    from ray.llm._internal.serve.core.ingress.ingress import init

    return init()


def serve_controller() -> tuple[str, str]:
    """Name and namespace of Ray Serve's controller: `serve.shutdown` cannot be told to make no retries."""
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    return SERVE_CONTROLLER_NAME, SERVE_NAMESPACE


def without_cluster_watch(callbacks: Sequence[Any]) -> list[Any]:
    """Ray Train's callbacks, less the one that watches the controller from outside.

    It asks the cluster that `/tmp/ray/ray_current_cluster` names. That is another one where somebody ran
    `ray start`, and none where it died: each training then ends 12 s later, or loses its workers.
    """
    from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

    return [each for each in callbacks if not isinstance(each, PlacementGroupCleanerCallback)]


def cluster_metadata(address: str) -> dict[str, Any]:
    """What a cluster says of itself, e.g. `ray_version`: a public call would wait for minutes."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    found = GcsClient(address=address).internal_kv_get(
        b"CLUSTER_METADATA", b"cluster", timeout=_GCS_TIMEOUT_S
    )
    return dict(json.loads((found or b"{}").decode()))


def _probe(address: str) -> dict[str, Any]:
    """What a cluster says of itself, or an `error`; `cluster.py` asks in a process of its own."""
    try:
        if "://" not in address:
            return cluster_metadata(address)
        import ray

        ray.init(address, log_to_driver=False, logging_level="ERROR")
        return {}
    except BaseException as error:  # Ray's native code panics, too
        lines = [line for line in f"{type(error).__name__}: {error}".splitlines() if line.strip()]
        return {"error": " ".join(lines)[:500]}


if __name__ == "__main__":
    print(json.dumps(_probe(sys.argv[1])))
