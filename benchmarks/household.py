"""Does more data win more? Household success for 1x, 2x and 4x the household trajectories, all else equal.

    python benchmarks/household.py --out household.json

The points differ in the number of household trajectories alone: 120 database trajectories, the general
answers (made once), η, rates and 30 steps of 16 samples stay, the rest is as in the recipe `quickstart`.
Every model is scored on the same unseen tasks with equal seeds. About 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.cli.recipes import Terminal
from agentray.cluster import connected
from agentray.recipes.recipe import load_recipe
from agentray.recipes.run import run


def point(runs: Path, num_household: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train on a mixture with this many household trajectories, and score it."""
    sizes = {**settings, "num_alfworld": num_household}
    overrides = [f"settings.{name}={value}" for name, value in sizes.items()]
    overrides += [f"general.out={runs / 'general'}", "before.when=false", "report.when=false"]
    overrides += ['after.envs=["alfworld"]', "results={}"]
    recipe = load_recipe("quickstart", out=runs / f"household-{num_household}", overrides=overrides)
    done = run(recipe, Terminal())
    counts = {each.name: each.counts for each in done.stages}
    return {
        "household_trajectories": num_household,
        "score": counts["after"]["scores"]["alfworld"],
        "realised": counts["mix"]["realised"],
        "training_tokens": counts["train"]["tokens"],
        "wall_s": done.wall_s,
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
    settings = {
        "num_database": given.num_database,
        "num_steps": given.num_steps,
        "num_test": given.num_test,
        "batch_size": 16,
        "frozen_layers": 4,
    }
    with connected():
        points = [point(given.runs, size, settings) for size in given.sizes]
    document = {
        "settings": settings,
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
