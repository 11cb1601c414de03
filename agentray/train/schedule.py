"""The learning-rate schedule."""

from __future__ import annotations

import math


def learning_rate(step: int, *, num_steps: int, peak: float, warmup_ratio: float, min_ratio: float) -> float:
    """Linear warm-up, then a cosine down to `min_ratio` of the peak.

    Args:
        step: Optimizer step, from 0.
        num_steps: Steps of the whole schedule.
        peak: Highest rate.
        warmup_ratio: Share of the steps that warm up.
        min_ratio: Rate at the last step, as a share of the peak.
    """
    warmup = max(1, round(num_steps * warmup_ratio))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, num_steps - 1 - warmup)
    return peak * (min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
