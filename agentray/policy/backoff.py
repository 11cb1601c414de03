"""How long to wait before what failed is tried again."""

from __future__ import annotations

import random

FIRST_S = 0.25
LONGEST_S = 8.0


def pause_s(failures: int) -> float:
    """Seconds to wait after so many failures: longer each time, and not in step with other callers."""
    return min(LONGEST_S, FIRST_S * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.5)
