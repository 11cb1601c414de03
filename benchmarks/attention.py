"""CPU attention of packed training: our blocks against PyTorch's fused kernel, forward and backward.

    python benchmarks/attention.py --out attention.json

The shapes are SmolLM2-135M's (9 query heads, 3 key-value heads, size 64) with a shared instruction before the
conversation. Both sides compute the same function, which is checked first. One warm-up, then every repeat
interleaved; the median and the spread are reported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from agentray import manifest
from agentray.train.attention import _attend_by_chunks, _attend_fused

SHAPES = ((500, 118), (170, 118), (60, 118))
"""Length of the conversation and of the instruction before it, in tokens."""


def inputs(length: int, prefix: int) -> list[torch.Tensor]:
    """Query, key and value in bfloat16."""
    torch.manual_seed(0)
    sizes = ((1, 9, length, 64), (1, 3, length + prefix, 64), (1, 3, length + prefix, 64))
    return [torch.randn(size).mul(0.3).bfloat16().requires_grad_() for size in sizes]


def seconds(attend: Callable[..., torch.Tensor], tensors: list[torch.Tensor]) -> float:
    """Forward and backward once."""
    started = time.perf_counter()
    attend(*tensors).float().square().sum().backward()
    return time.perf_counter() - started


def compare(length: int, prefix: int, repeats: int) -> dict[str, object]:
    """Milliseconds of both sides at one shape."""
    tensors = inputs(length, prefix)
    sides = {"blocks": _attend_by_chunks, "fused": _attend_fused}
    results = [attend(*tensors) for attend in sides.values()]
    torch.testing.assert_close(*results, rtol=2e-2, atol=2e-2)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, attend in sides.items():
            taken = 1000 * seconds(attend, tensors)
            if repeat:
                times[name].append(taken)
    return {
        "length": length,
        "prefix": prefix,
        **{name: {"median_ms": statistics.median(each), "all_ms": each} for name, each in times.items()},
        "ratio": statistics.median(times["fused"]) / statistics.median(times["blocks"]),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("attention.json"))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [compare(length, prefix, arguments.repeats) for length, prefix in SHAPES]
    document = {
        "machine": manifest.machine(),
        "versions": manifest.versions(),
        "commit": manifest.commit(),
        "threads": arguments.threads,
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(document, indent=1))
    for row in rows:
        print({key: row[key] for key in ("length", "prefix", "ratio")})


if __name__ == "__main__":
    main()
