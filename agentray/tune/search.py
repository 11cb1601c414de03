"""Ray Tune's distributions, searches and schedulers, by the names that the settings give."""

from __future__ import annotations

import importlib.util
from typing import Any

from agentray.config import Distribution, TuneConfig
from agentray.errors import MissingDependencyError
from agentray.tune.trial import score_steps


def distributions(config: TuneConfig) -> dict[str, Any]:
    """The space as Ray Tune has it: names with dots are its own for nested settings, so they stay flat."""
    return {name: _distribution(each, config.search) for name, each in config.space.items()}


def _distribution(given: Distribution, search: str) -> Any:
    from ray import tune

    if given.uniform is not None:
        return tune.uniform(*given.uniform)
    if given.loguniform is not None:
        return tune.loguniform(*given.loguniform)
    if given.choice is not None:
        return tune.choice(given.choice)
    # Libraries that choose values themselves know no grid: to them it is a list to choose from.
    return tune.grid_search(given.grid) if search == "random" else tune.choice(given.grid)


def check_search(config: TuneConfig) -> None:
    """Refuse a search whose library is absent.

    Raises:
        MissingDependencyError: It is not installed.
    """
    if config.search != "random" and importlib.util.find_spec(config.search) is None:
        raise MissingDependencyError(
            f"tune.search is {config.search!r}",
            f"the package {config.search!r} is not installed",
            f"pip install {config.search}, or --set tune.search=random",
        )


def searcher(config: TuneConfig, max_concurrent: int) -> Any:
    """What chooses the values, for so many trials at once."""
    from ray.tune.search import ConcurrencyLimiter
    from ray.tune.search.basic_variant import BasicVariantGenerator

    if config.search == "random":
        return BasicVariantGenerator(random_state=config.seed, max_concurrent=max_concurrent)
    if config.search == "optuna":
        from ray.tune.search.optuna import OptunaSearch

        chosen = OptunaSearch(seed=config.seed)
    else:
        from ray.tune.search.hyperopt import HyperOptSearch

        chosen = HyperOptSearch(random_state_seed=config.seed)
    return ConcurrencyLimiter(chosen, max_concurrent=max_concurrent)


def scheduler(config: TuneConfig) -> Any:
    """What stops trials early; None for nothing."""
    first = score_steps(config)[0]
    if config.scheduler == "asha":
        from ray.tune.schedulers import AsyncHyperBandScheduler

        return AsyncHyperBandScheduler(
            time_attr="num_steps",
            grace_period=first,
            reduction_factor=config.score_factor,
            max_t=config.train.num_steps,
        )
    if config.scheduler == "median":
        from ray.tune.schedulers import MedianStoppingRule

        return MedianStoppingRule(time_attr="num_steps", grace_period=first, min_samples_required=2)
    return None
