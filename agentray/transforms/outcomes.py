"""What async transforms returned, on disk at once: a chain that was interrupted does not ask for it again.

{"step": "thoughts", "run": 0, "key": "...", "row": {...}}             another trajectory
{"step": "thoughts", "run": 0, "key": "...", "row": null}              the same one
{"step": "thoughts", "run": 0, "key": "...", "rejected": [reason, detail]}
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from agentray.data.journal import Segment
from agentray.data.records import from_row, to_row
from agentray.encoding import decode, encode
from agentray.transforms.base import Outcome
from agentray.types import Rejection, Trajectory

NAME = "outcomes.jsonl"


class Outcomes:
    """The outcomes of one chain so far. It needs about 150 bytes of memory per outcome.

    Args:
        directory: Where their file is, or is made.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._places: dict[bytes, int] = {}
        self._waiting: list[bytes] = []
        self.reused = 0
        """How many were taken from an earlier start."""
        self._read()
        self._segment = Segment(self._path)
        self._file = self._path.open("rb")

    def _read(self) -> None:
        """Note where each outcome is; a line cut short by a crash is removed."""
        place = 0
        with self._path.open("a+b") as stream:
            stream.seek(0)
            for line in stream:
                try:
                    document = decode(line)
                    self._places[_name(document["step"], document["run"], document["key"])] = place
                except (ValueError, KeyError, TypeError, RecursionError):
                    stream.truncate(place)
                    return
                place += len(line)

    def get(self, step: str, run: int, trajectory: Trajectory) -> Outcome | None:
        """What a step returned for a trajectory in an earlier start; None where that is not known."""
        place = self._places.get(_name(step, run, trajectory.key))
        if place is None:
            return None
        self.reused += 1
        self._file.seek(place)
        document = decode(self._file.readline())
        if "rejected" in document:
            return Rejection(trajectory.key, *document["rejected"])
        return trajectory if document["row"] is None else from_row(document["row"])

    def put(self, step: str, run: int, trajectory: Trajectory, outcome: Outcome) -> None:
        """Take in what a step returned; it is on disk before the event loop turns to anything else."""
        document: dict[str, Any] = {"step": step, "run": run, "key": trajectory.key}
        if isinstance(outcome, Rejection):
            document["rejected"] = [outcome.reason, outcome.detail]
        else:
            document["row"] = None if outcome is trajectory else to_row(outcome)
        self._waiting.append(encode(document))
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Put on disk what waits."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._segment.append(waiting)

    def close(self) -> None:
        """Put on disk what waits, and close the file."""
        self.flush()
        self._segment.close()
        self._file.close()

    def remove(self) -> None:
        """Remove the file of a chain that is complete."""
        self._path.unlink(missing_ok=True)


def _name(step: str, run: int, key: str) -> bytes:
    return hashlib.blake2b(f"{step}\0{run}\0{key}".encode(errors="replace"), digest_size=16).digest()
