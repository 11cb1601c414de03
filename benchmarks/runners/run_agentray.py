"""Our side: a whole rollout stage, with its durable journal, on the `count` environment.

`benchmarks/rollout.py` starts it. `--workers 0` plays in this process; more are Ray actors. The rewards are
read back from the run directory, so a trajectory that was not stored does not count.
"""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path

from counting import LENGTH, arguments, measure

from agentray.cluster import connected
from agentray.config import RolloutConfig
from agentray.data.store import read_run
from agentray.rollout.run import run


def main() -> None:
    """Command line."""
    given = arguments(__doc__)
    with tempfile.TemporaryDirectory(prefix="agentray-benchmark-") as folder:
        outputs = (Path(folder, name) for name in ("first", "second"))

        def play(games: list[int]) -> Path:
            config = RolloutConfig(
                envs=["count"],
                env={"count": {"length": LENGTH}},
                policy=given.url,
                num_workers=given.workers,
                in_flight=given.in_flight,
                num_tasks=len(games),
                out=next(outputs),
            )
            run(config)
            return config.out

        def rewards(out: Path) -> list[float | None]:
            return [trajectory.reward for trajectory in read_run(out).trajectories]

        with connected() if given.workers else nullcontext():
            measure(given, play, rewards, ("agentray", "aiohttp", "ray"))


if __name__ == "__main__":
    main()
