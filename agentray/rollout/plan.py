"""Which attempts a run consists of, and which of them are still missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from agentray.config import RolloutConfig
from agentray.env import Environment, build
from agentray.errors import UsageError
from agentray.types import Attempt, EnvSpec, Task

_SAMPLE_STRIDE = 1_000_003
"""Seeds between two samples of a task."""
_SHORT_GAP = 64
"""Finished tasks in a row that are generated and dropped; over more of them the stream starts anew."""


def is_planned(config: RolloutConfig, sample: int, seed: int) -> bool:
    """Whether a run of `config` makes the attempt with this sample and seed; a larger run made others too."""
    return 0 <= _place(config, sample, seed) < config.num_tasks and sample < config.samples


def _place(config: RolloutConfig, sample: int, seed: int) -> int:
    """Number of an attempt's task, from the plan's first."""
    return seed - config.seed - _SAMPLE_STRIDE * sample - config.first_task


class Plan:
    """The attempts of a run: every sample of every task of every environment, in that order.

    Sample s of task t of its split has seed `config.seed + t + 1,000,003 s`: what a run makes does not depend
    on how many workers make it, nor on how large the run is.

    Args:
        config: Sizes, seed and temperatures.
        specs: The environments.
        policy: Name of the policy.

    Raises:
        UsageError: An environment has no such task.
    """

    def __init__(self, config: RolloutConfig, specs: Sequence[EnvSpec], policy: str) -> None:
        self._config, self._policy = config, policy
        self._environments = {spec.id: build(spec) for spec in specs}
        self._num_tasks = {name: self._count(each) for name, each in self._environments.items()}
        self._finished: set[tuple[str, int, int]] = set()
        self.size = sum(self._num_tasks.values()) * config.samples
        """Attempts of the whole run."""
        self.thresholds = {name: each.reward_threshold for name, each in self._environments.items()}
        """Reward from which an attempt is kept, by environment."""

    def skip(
        self,
        earlier: Mapping[tuple[str, int, int], tuple[str, float | None, str | None]],
        count: Callable[[str, str, float | None, str | None], None],
    ) -> int:
        """Leave out what is stored, and return how many attempts that is.

        Args:
            earlier: Status, reward and error of stored attempts, by environment, sample and seed.
            count: Told environment, status, reward and error of each that belongs to this plan.
        """
        for (env, sample, seed), (status, reward, error) in earlier.items():
            place = _place(self._config, sample, seed)
            if 0 <= place < self._num_tasks.get(env, 0) and sample < self._config.samples:
                self._finished.add((env, place, sample))
                count(env, status, reward, error)
        return len(self._finished)

    def missing(self) -> Iterator[Attempt]:
        """The attempts that are not stored, in order; tasks are generated as they are asked for."""
        config = self._config
        for env, environment in self._environments.items():
            for place, task in self._missing_tasks(env, environment):
                for sample in range(config.samples):
                    if (env, place, sample) not in self._finished:
                        seed = config.seed + config.first_task + place + _SAMPLE_STRIDE * sample
                        yield Attempt(task, sample, seed, self._policy, self._temperature(sample))

    def _missing_tasks(self, env: str, environment: Environment) -> Iterator[tuple[int, Task]]:
        """Place and content of the tasks of which a sample is missing."""
        config = self._config
        stream: Iterator[Task] | None = None
        at = 0
        for place in range(self._num_tasks[env]):
            if all((env, place, sample) in self._finished for sample in range(config.samples)):
                continue
            if stream is None or place - at > _SHORT_GAP:
                stream, at = environment.tasks(config.split, config.first_task + place), place
            task = next(islice(stream, place - at, None))
            at = place + 1
            yield place, task

    def _temperature(self, sample: int) -> float:
        choices = self._config.temperatures or [self._config.sampling.temperature]
        return choices[sample % len(choices)]

    def _count(self, environment: Environment) -> int:
        """Tasks that the plan takes from an environment; it may have fewer than asked for."""
        config = self._config
        last = config.first_task + config.num_tasks - 1
        if next(environment.tasks(config.split, last), None) is not None:
            return config.num_tasks
        found = sum(1 for _ in islice(environment.tasks(config.split, config.first_task), config.num_tasks))
        if not found:
            env, data = environment.id, config.env.get(environment.id, {}).get("data")
            raise UsageError(
                f"no task of {env!r} in split {config.split!r} from number {config.first_task} on",
                f"`data` is {str(data)!r} and holds none" if data else "the environment has none",
                f"give another --split, or other tasks: --set env.{env}.data=PATH",
            )
        return found
