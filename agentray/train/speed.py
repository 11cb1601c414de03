"""How fast this machine multiplies matrices as training does: `python -m agentray.train.speed`."""

from __future__ import annotations

import time

import torch

_TOKENS, _INNER, _OUTER = 2048, 576, 1536
"""A row of tokens and a feed-forward layer of SmolLM2-135M."""
_SECONDS = 1.0


def gflops() -> float:
    """10⁹ operations per second, on all cores; takes a second."""
    states = torch.randn(_TOKENS, _INNER, dtype=torch.bfloat16)
    weights = torch.randn(_OUTER, _INNER, dtype=torch.bfloat16)
    torch.nn.functional.linear(states, weights)
    count, started = 0, time.monotonic()
    while time.monotonic() - started < _SECONDS:
        torch.nn.functional.linear(states, weights)
        count += 1
    return 2 * _TOKENS * _INNER * _OUTER * count / (time.monotonic() - started) / 1e9


if __name__ == "__main__":
    print(gflops())
