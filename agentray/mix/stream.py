"""The mixture: which sample comes at which place of the endless training stream.

    J(θ) = η · E_agent[log π_θ(y|x)] + (1 - η) · E_general[log π_θ(y|x)]          (AgentTuning, section 2.3)

The authors' own reading is proportional sampling: with probability η the next sample comes from the agent
corpus (uniform over its trajectories), else from the general one (by source weight). The stream is a
function of (seed, index) alone, so training resumes at any step. A source is gone through in a fresh
shuffled order each pass, so that no sample comes a second time before every other one came once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from agentray.errors import UsageError

_BLOCK = 4096


@dataclass(frozen=True)
class Source:
    """A corpus to draw from."""

    name: str
    size: int
    """Samples it holds."""
    probability: float
    """Chance that a sample of the stream comes from it."""


def sources(
    agent: Mapping[str, int], general: Mapping[str, tuple[int, float]], eta: float
) -> tuple[Source, ...]:
    """Sources with their probabilities.

    Args:
        agent: Samples per environment; the agent side is uniform over all of them.
        general: Samples and weight per general source.
        eta: Probability of the agent side, in [0, 1].

    Raises:
        UsageError: η is outside [0, 1], a side that is drawn from is empty, or its weights sum to 0.
    """
    if not 0 <= eta <= 1:
        raise UsageError(f"η is {eta}", "it is a probability", "give --eta between 0 and 1")
    num_agent = sum(agent.values())
    total_weight = sum(weight for size, weight in general.values() if size)
    if eta > 0 and num_agent == 0:
        raise UsageError(
            "the agent corpus is empty",
            f"η = {eta} draws from it",
            "give --agent, the output of `agentray filter` or a file of conversations; or --eta 0",
        )
    if eta < 1 and total_weight <= 0:
        raise UsageError(
            "the general corpus is empty or its weights sum to 0",
            f"η = {eta} draws {1 - eta:.0%} from it",
            "give --general, a file or a run of `agentray rollout --env general --policy MODEL`; or --eta 1",
        )
    found = [Source(name, size, eta * size / num_agent) for name, size in agent.items() if size and eta > 0]
    found += [
        Source(name, size, (1 - eta) * weight / total_weight)
        for name, (size, weight) in general.items()
        if size and weight > 0 and eta < 1
    ]
    return tuple(found)


class Stream:
    """Random access to the endless sample stream: index to (source, row).

    Args:
        sources: What to draw from.
        seed: With the index, all that decides a draw.
    """

    def __init__(self, sources: Sequence[Source], seed: int) -> None:
        self.sources = tuple(sources)
        self._seed = seed
        self._edges = np.cumsum([source.probability for source in self.sources])
        self._drawn: list[npt.NDArray[np.int64]] = [np.zeros(len(self.sources), np.int64)]
        self._block = lru_cache(maxsize=8)(self._choices)
        self._order = lru_cache(maxsize=4 * len(self.sources))(self._permutation)

    def __getitem__(self, index: int) -> tuple[int, int]:
        """Source number and row of the sample at `index`."""
        block, offset = divmod(index, _BLOCK)
        while len(self._drawn) <= block:
            counts = np.bincount(self._block(len(self._drawn) - 1), minlength=len(self.sources))
            self._drawn.append(self._drawn[-1] + counts)
        choices = self._block(block)
        source = int(choices[offset])
        before = int(self._drawn[block][source] + np.count_nonzero(choices[:offset] == source))
        epoch, place = divmod(before, self.sources[source].size)
        return source, int(self._order(source, epoch)[place])

    def _choices(self, block: int) -> npt.NDArray[np.int64]:
        """Source of each index of a block: int64 (4096,)."""
        draws = np.random.default_rng([self._seed, 0, block]).random(_BLOCK) * self._edges[-1]
        choices: npt.NDArray[np.int64] = np.searchsorted(self._edges, draws, side="right")
        return choices.clip(max=len(self.sources) - 1)

    def _permutation(self, source: int, epoch: int) -> npt.NDArray[np.int64]:
        """Order of a source's rows in one pass over it."""
        return np.random.default_rng([self._seed, 1, source, epoch]).permutation(self.sources[source].size)
