"""Reads replies as AgentTuning's harness does: the line after `ACTION:`, or the nearest possible command."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence

_ACTION = re.compile(r"ACTION:(.*)")
_PUT = re.compile(r"put (.+?) (?:in/on|into|in|on) (.+)")
_MAX_ORDER = 4
_SMOOTHING = 5.0
_MIN_SCORE = 0.01
"""Below this similarity a command is left as it is (AgentBench)."""


def parse_action(reply: str) -> str | None:
    """The command after the first `ACTION:`, in lower case; None when the reply has none."""
    match = _ACTION.search(reply)
    action = match.group(1).strip().lower() if match else ""
    return action or None


def resolve(action: str, possible: Collection[str], fuzzy: bool) -> str:
    """The possible command that an action means, or the action itself.

    Args:
        action: What `parse_action` found. `put O in/on R`, the wording before ALFWorld 0.4, means
            `move O to R`.
        possible: The admissible commands.
        fuzzy: Whether an impossible action becomes the possible command with the highest sentence BLEU, if
            that exceeds 0.01.

    Source: AgentBench, as AgentTuning froze it (agenttuning-spec.md, section 3.1).
    """
    put = _PUT.fullmatch(action)
    wanted = f"move {put[1]} to {put[2]}" if put else action
    if wanted in possible or not fuzzy:
        return wanted
    best = max(sorted(possible), key=lambda command: bleu(command, wanted))
    return best if bleu(best, wanted) > _MIN_SCORE else wanted


def bleu(reference: str, hypothesis: str) -> float:
    """Sentence BLEU up to 4-grams of words split at spaces, with the fourth smoothing method.

    Args:
        reference: A possible command.
        hypothesis: The command that was asked for.

    Returns:
        A similarity of 0 and above; 0 when no word is shared.

    Source: Papineni et al. 2002; smoothing 4 of Chen and Cherry 2014 with k = 5, as NLTK has it.
    """
    wanted, given = reference.split(), hypothesis.split()
    if not set(wanted) & set(given):
        return 0.0
    log_sum, misses = 0.0, 1
    for order in range(1, _MAX_ORDER + 1):
        have, total = _overlap(wanted, given, order)
        precision = have / total
        if not have:
            if len(given) == 1:
                continue
            precision = math.log(len(given)) / (2**misses * _SMOOTHING) / total
            misses += 1
        log_sum += math.log(precision) / _MAX_ORDER
    brevity = 1.0 if len(given) > len(wanted) else math.exp(1 - len(wanted) / len(given))
    return brevity * math.exp(log_sum)


def _overlap(wanted: Sequence[str], given: Sequence[str], order: int) -> tuple[int, int]:
    """Clipped matches of n-grams, and how many the hypothesis has (at least 1)."""
    have, want = _grams(given, order), _grams(wanted, order)
    return (have & want).total(), max(1, have.total())


def _grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))
