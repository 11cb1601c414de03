"""The mixture: which sample comes at which place of the endless training stream.

    J(θ) = η · E_agent[log π_θ(y|x)] + (1 - η) · E_general[log π_θ(y|x)]          (AgentTuning, section 2.3)

The authors' own reading is proportional sampling: with probability η the next sample comes from the agent
side (by default uniform over its trajectories), else from the general one (by source weight). The stream is a
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
class Share:
    """A source as the stream draws from it."""

    name: str
    size: int
    """Samples it holds."""
    probability: float
    """Chance that a sample of the stream comes from it."""


def shares(
    agent: Mapping[str, tuple[int, float]], general: Mapping[str, tuple[int, float]], eta: float
) -> tuple[Share, ...]:
    """Sources with their probabilities.

    Args:
        agent: Samples and weight of each source on the agent side.
        general: Samples and weight of each general source.
        eta: Probability of the agent side, in [0, 1].

    Raises:
        UsageError: η is outside [0, 1], a side that is drawn from is empty, or its weights sum to 0.
    """
    if not 0 <= eta <= 1:
        raise UsageError(f"η is {eta}", "it is a probability", "give --eta between 0 and 1")
    found = []
    for (side, give, without), sources, part in ((_AGENT, agent, eta), (_GENERAL, general, 1 - eta)):
        if not part:
            continue
        total = sum(weight for size, weight in sources.values() if size)
        if total <= 0:
            why = f"η = {eta} draws {part:.0%} from it"
            raise UsageError(
                f"the {side} side is empty or its weights sum to 0", why, f"{give}; or {without}"
            )
        found += [
            Share(name, size, part * weight / total)
            for name, (size, weight) in sources.items()
            if size and weight > 0
        ]
    return tuple(found)


_AGENT = ("agent", "give --agent, the output of `agentray filter` or a file of conversations", "--eta 0")
_GENERAL = (
    "general",
    "give --general, a file or a run of `agentray rollout --env prompts --policy MODEL`",
    "--eta 1",
)
"""What a side is called, how to fill it, and how to do without."""


class Stream:
    """Random access to the endless sample stream: index to (source, row).

    Args:
        shares: What to draw from.
        seed: With the index, all that decides a draw.
    """

    def __init__(self, shares: Sequence[Share], seed: int) -> None:
        self.shares = tuple(shares)
        self._seed = seed
        self._edges = np.cumsum([share.probability for share in self.shares])
        self._drawn: list[npt.NDArray[np.int64]] = [np.zeros(len(self.shares), np.int64)]
        self._block = lru_cache(maxsize=8)(self._choices)
        self._order = lru_cache(maxsize=4 * len(self.shares))(self._permutation)

    def __getitem__(self, index: int) -> tuple[int, int]:
        """Source number and row of the sample at `index`."""
        block, offset = divmod(index, _BLOCK)
        while len(self._drawn) <= block:
            counts = np.bincount(self._block(len(self._drawn) - 1), minlength=len(self.shares))
            self._drawn.append(self._drawn[-1] + counts)
        choices = self._block(block)
        source = int(choices[offset])
        before = int(self._drawn[block][source] + np.count_nonzero(choices[:offset] == source))
        epoch, place = divmod(before, self.shares[source].size)
        return source, int(self._order(source, epoch)[place])

    def _choices(self, block: int) -> npt.NDArray[np.int64]:
        """Source of each index of a block: int64 (4096,)."""
        draws = np.random.default_rng([self._seed, 0, block]).random(_BLOCK) * self._edges[-1]
        choices: npt.NDArray[np.int64] = np.searchsorted(self._edges, draws, side="right")
        return choices.clip(max=len(self.shares) - 1)

    def _permutation(self, source: int, epoch: int) -> npt.NDArray[np.int64]:
        """Order of a source's rows in one pass over it."""
        return np.random.default_rng([self._seed, 1, source, epoch]).permutation(self.shares[source].size)
