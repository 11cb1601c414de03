"""Which attempts a run consists of, and which of them are still missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from agentray.config import RolloutConfig
from agentray.rollout.tasks import TaskSource
from agentray.types import Attempt

_SAMPLE_STRIDE = 1_000_003
"""Seeds between two samples of a task."""


def is_planned(config: RolloutConfig, sample: int, seed: int) -> bool:
    """Whether a run of `config` makes the attempt with this sample and seed; a larger run made others too."""
    place = _place(config, sample, seed)  # a run of a tasks file makes attempts at nothing else
    return sample < config.samples and (config.tasks is not None or 0 <= place < config.num_tasks)


def _place(config: RolloutConfig, sample: int, seed: int) -> int:
    """Number of an attempt's task, from the plan's first."""
    return seed - config.seed - _SAMPLE_STRIDE * sample - config.first_task


class Plan:
    """The attempts of a run: every sample of every task of a source, in that order.

    Sample s of task t of its split has seed `config.seed + t + 1,000,003 s`: what a run makes does not depend
    on how many workers make it, nor on how large the run is. In a tasks file, t counts the lines of each
    environment.

    Args:
        config: Sizes, seed and temperatures.
        source: The tasks.
        policy: Name of the policy.
    """

    def __init__(self, config: RolloutConfig, source: TaskSource, policy: str) -> None:
        self._config, self._source, self._policy = config, source, policy
        self._finished = {env: bytearray(size * config.samples) for env, size in source.sizes.items()}
        """1 for each attempt that is stored, by place and sample."""
        self.size = sum(map(len, self._finished.values()))
        """Attempts of the whole run."""
        self.thresholds = {name: each.reward_threshold for name, each in source.environments.items()}
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
        samples = self._config.samples
        for (env, sample, seed), (status, reward, error) in earlier.items():
            place = _place(self._config, sample, seed)
            if 0 <= place < self._source.sizes.get(env, 0) and sample < samples:
                self._finished[env][place * samples + sample] = 1
                count(env, status, reward, error)
        return sum(map(sum, self._finished.values()))

    def missing(self) -> Iterator[Attempt]:
        """The attempts that are not stored, in order; tasks are made or read as they are asked for."""
        config = self._config
        for place, task in self._source.tasks(self._is_missing):
            for sample in range(config.samples):
                if not self._finished[task.env][place * config.samples + sample]:
                    seed = config.seed + config.first_task + place + _SAMPLE_STRIDE * sample
                    yield Attempt(task, sample, seed, self._policy, self._temperature(sample))

    def _is_missing(self, env: str, place: int) -> bool:
        """Whether a sample of a task is not stored."""
        samples = self._config.samples
        return not all(self._finished[env][place * samples : (place + 1) * samples])

    def _temperature(self, sample: int) -> float:
        choices = self._config.temperatures or [self._config.sampling.temperature]
        return choices[sample % len(choices)]
