"""What a sandbox costs: one command in one of its own, the start of a shell, a command in a running shell.

    python benchmarks/sandbox.py --out sandbox.json

Every backend that works on this machine, beside a plain bash that nothing confines. The same code drives this
baseline, so it too has pipes, a kill and, where one can be made, a control group. One warm-up, then every
repeat with the backends interleaved; median, 10th and 90th percentile and all values, in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from agentray import manifest
from agentray.sandbox import Backend, available, backend, run, shell
from agentray.sandbox.launch import Launch

_PER_SHELL = 20
"""Commands measured in each shell."""
_PLAIN = 'printf %s "$5" >&2; while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
"""Of `sh -c SCRIPT sh WORD FILES -- COMMAND`: says the word and becomes the command, without the script."""


def plain() -> Backend:
    """The shell as it is, in a home of its own."""
    environment = {"PATH": os.environ["PATH"], "HOME": tempfile.mkdtemp(), "LANG": "C.UTF-8"}
    return Backend("plain", lambda _: Launch(("sh", "-c", _PLAIN, "sh"), environment=environment))


async def one_shot(chosen: Backend) -> list[float]:
    """A sandbox that is made, runs `true` and is gone."""
    began = time.perf_counter()
    result = await run(["true"], backend=chosen)
    assert result.exit_code == 0, result
    return [1000 * (time.perf_counter() - began)]


async def shell_start(chosen: Backend) -> list[float]:
    """A shell from nothing to the answer to its first command."""
    began = time.perf_counter()
    async with shell(backend=chosen) as opened:
        await opened.run("true")
        return [1000 * (time.perf_counter() - began)]


async def shell_command(chosen: Backend) -> list[float]:
    """`echo` in a running shell."""
    taken = []
    async with shell(backend=chosen) as opened:
        for _ in range(_PER_SHELL):
            began = time.perf_counter()
            await opened.run("echo x")
            taken.append(1000 * (time.perf_counter() - began))
    return taken[1:]


MEASURES: dict[str, Callable[[Backend], Awaitable[list[float]]]] = {
    "one_shot": one_shot,
    "shell_start": shell_start,
    "shell_command": shell_command,
}


async def measure(repeats: int) -> list[dict[str, object]]:
    """One row for each measure and backend."""
    backends = [plain(), *map(backend, available())]
    times: dict[tuple[str, str], list[float]] = {}
    for repeat in range(repeats + 1):
        for name, taken in MEASURES.items():
            for each in backends:
                values = await taken(each)
                if repeat:
                    times.setdefault((name, each.name), []).extend(values)
    return [{"measure": name, "backend": which, **summary(values)} for (name, which), values in times.items()]


def summary(values: list[float]) -> dict[str, object]:
    """Median and spread in milliseconds."""
    tenths = statistics.quantiles(values, n=10)
    rounded = [round(value, 3) for value in values]
    return {
        "median_ms": statistics.median(rounded),
        "p10_ms": tenths[0],
        "p90_ms": tenths[-1],
        "all_ms": rounded,
    }


def programs() -> dict[str, str]:
    """Versions of what makes the sandboxes."""
    commands = {"bwrap": "--version", "unshare": "--version", "bash": "--version"}
    said = {}
    for name, option in commands.items():
        try:
            done = subprocess.run([name, option], capture_output=True, text=True, check=True, timeout=10)
            said[name] = done.stdout.splitlines()[0]
        except OSError:
            said[name] = "absent"
    return {**said, "kernel": os.uname().release}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("sandbox.json"))
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rows = asyncio.run(measure(arguments.repeats))
    document = {
        "machine": manifest.machine(),
        "versions": manifest.versions() | programs(),
        "commit": manifest.commit(),
        "repeats": arguments.repeats,
        "load_before_and_after": [load, os.getloadavg()[0]],
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(document, indent=1))
    for row in rows:
        print({key: row[key] for key in ("measure", "backend", "median_ms", "p10_ms", "p90_ms")})


if __name__ == "__main__":
    main()
