"""`metrics.jsonl`: a line per optimizer step, rewritten where steps are made again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"


class Metrics:
    """The log of a run.

    Args:
        out: The run's directory.
        writes: Whether this worker writes it; the others' calls do nothing.
    """

    def __init__(self, out: Path, *, writes: bool) -> None:
        self._path, self._writes = out / METRICS, writes

    def add(self, step: Mapping[str, Any]) -> None:
        """Log a step."""
        if self._writes:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(step) + "\n")

    def amend(self, more: Mapping[str, Any]) -> None:
        """Add to the last step."""
        if self._writes:
            *others, last = read_metrics(self._path)
            self._rewrite([*others, {**last, **more}])

    def forget_after(self, step: int) -> None:
        """Drop the steps after one, which will be made again, and what was measured when it was the last."""
        if self._writes and self._path.exists():
            kept = [each for each in read_metrics(self._path) if each["step"] <= step]
            for each in kept:
                each.pop("validation_after", None)
            self._rewrite(kept)

    def _rewrite(self, steps: Sequence[Mapping[str, Any]]) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(each) + "\n" for each in steps), encoding="utf-8")
        partial.replace(self._path)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Logged steps, oldest first, none before the first; a line cut short by a crash is skipped."""
    found: list[dict[str, Any]] = []
    if not path.exists():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found
