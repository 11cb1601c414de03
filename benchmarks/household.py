"""Does more data win more? Household success for 1x, 2x and 4x the household trajectories, all else equal.

    python benchmarks/household.py --out household.json

The points differ in the number of household trajectories alone: 120 database trajectories, the general
answers (made once), η, rates and 30 steps of 16 samples stay, the rest is as in the quickstart. Every model
is scored on the same unseen tasks with equal seeds. About 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.cluster import connected
from agentray.config import (
    EngineConfig,
    EvaluateConfig,
    FilterConfig,
    GeneralSource,
    MixConfig,
    RolloutConfig,
)
from agentray.evaluate.run import run as evaluate
from agentray.mix.corpus import run as mix
from agentray.recipes.quickstart import QuickstartConfig, general_answers, training
from agentray.rollout.run import run as rollout
from agentray.train.run import run as train
from agentray.transforms.filtering import run as filter_run


def point(config: QuickstartConfig, num_household: int, num_test: int) -> dict[str, Any]:
    """Train on a mixture with this many household trajectories, and score it."""
    started = time.monotonic()
    root = config.out / f"household-{num_household}"
    env = {"database": {"requests": config.database_requests}}
    runs = []
    for name, number in (("database", config.num_database), ("alfworld", num_household)):
        runs.append(root / "rollout" / name)
        rollout(RolloutConfig(envs=[name], out=runs[-1], num_tasks=number, env=env))
    filter_run(FilterConfig(runs=runs, out=root / "filter", env=env))
    mixed = mix(
        MixConfig(
            agent=[root / "filter"],
            general=[GeneralSource(path=config.out / "general", name="general")],
            out=root / "mix",
            model=config.model,
            eta=config.eta,
            validation_fraction=config.validation_fraction,
        )
    )
    trained = train(training(config, root / "mix", root / "train"))
    scored = evaluate(
        EvaluateConfig(
            envs=["alfworld"],
            out=root / "after",
            num_tasks=num_test,
            policy=trained.model,
            engine=EngineConfig(max_model_len=2048, kv_cache_gib=4),
        )
    )
    return {
        "household_trajectories": num_household,
        "score": asdict(scored.scores["alfworld"]),
        "realised": dict(mixed.realised),
        "training_tokens": trained.tokens,
        "wall_s": round(time.monotonic() - started, 1),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--runs", type=Path, default=Path("runs/household"), help="where the stages write")
    parser.add_argument("--sizes", type=int, nargs="+", default=[40, 80, 160])
    parser.add_argument("--num-database", type=int, default=120)
    parser.add_argument("--num-steps", type=int, default=30)
    parser.add_argument("--num-test", type=int, default=100)
    given = parser.parse_args()
    config = QuickstartConfig(
        out=given.runs,
        num_database=given.num_database,
        num_steps=given.num_steps,
        batch_size=16,
        frozen_layers=4,
    )
    with connected():
        rollout(general_answers(config))
        points = [point(config, size, given.num_test) for size in given.sizes]
    document = {
        "config": config.model_dump(mode="json"),
        "points": points,
        "machine": manifest.machine(),
        "versions": manifest.versions(),
        "commit": manifest.commit(),
    }
    given.out.write_text(json.dumps(document, indent=1), encoding="utf-8")
    for each in points:
        score = each["score"]
        low, high = (round(100 * bound) for bound in score["interval"])
        print(f"{each['household_trajectories']:>5}  {score['mean']:.1%}  n {score['n']}  {low} to {high}")


if __name__ == "__main__":
    main()
