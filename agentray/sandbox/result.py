"""What a command may use, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Ended = Literal["exited", "timeout", "output", "closed"]
"""`exited` by itself or by a signal; ended at the limit of time or of output; or never begun, because the
shell that it was for had ended before."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one sandbox may use. A number that the machine's own limits do not allow is lowered to them."""

    wall_s: float = 10.0
    """Seconds by the clock, from the moment the command begins; of a shell: of one command."""
    cpu_s: float = 10.0
    """Processor seconds of each process, rounded up to whole ones."""
    memory_bytes: int = 512 * 2**20
    """Address space of each process; with a memory control group also the memory of all of them."""
    num_processes: int = 64
    """Processes and threads at once."""
    file_bytes: int = 64 * 2**20
    """Largest file."""
    disk_bytes: int = 256 * 2**20
    """All files together. They live in memory and vanish with the sandbox."""
    output_bytes: int = 2**20
    """Standard output and error together; more ends the command."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended. What it wrote is decoded as UTF-8; bytes that are not are replaced."""

    exit_code: int | None
    """As a shell reports it: 128 + n after signal n, 127 for no such command. None when it was ended."""
    stdout: str
    stderr: str
    wall_s: float
    ended: Ended
