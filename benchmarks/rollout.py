"""What a model call costs the machine: our rollouts beside the peers', on the same games and endpoint.

    python benchmarks/rollout.py --out rollout.json
    python benchmarks/rollout.py --quick --out rollout.json

Every side plays episodes of five turns against `endpoint.py`, a mock that answers after 50 ms, in a process
of its own. Held equal: the prompts, the conversation that grows, the sampling parameters, the episodes in
flight, one process (or two Ray actors). Not equal: ours and inspect_ai write every episode to disk as they
go, the others do not. `aiohttp` is the ceiling, a bare loop; `*_tuned` are a peer's fastest settings, where
its defaults are slower.

Calls per second count from the first call's arrival at the endpoint to the last answer, so no side pays for
imports or start-up. CPU time covers the whole call that plays the episodes, its own start and end included;
with Ray it is that of all processes of the tree between the first call and the last answer. The endpoint's
own is not included. Sides are interleaved, in alternating order, and a repeat counts only when every episode
earned its reward.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endpoint import endpoint, stats
from processes import TreeSampler
from runners.counting import LENGTH
from venvs import REQUIREMENTS, python_of

from agentray import manifest

RUNNERS = Path(__file__).resolve().parent / "runners"
LATENCY_S = 0.05
IN_FLIGHT = 128
_RUN_TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Side:
    """One contestant in one setting."""

    name: str
    episodes: int
    in_flight: int = IN_FLIGHT
    workers: int = 0
    """Ray actors; 0 is one process without Ray."""

    @property
    def package(self) -> str:
        """What is measured, without its settings."""
        return self.name.removesuffix("_tuned")

    def command(self, python: str, url: str) -> list[str]:
        """The runner's command line."""
        script = RUNNERS / f"run_{self.package.removesuffix('_ai')}.py"
        command = [python, str(script), "--url", url, "--episodes", str(self.episodes)]
        command += ["--in-flight", str(self.in_flight), "--workers", str(self.workers)]
        return [*command, "--tuned"] if self.name != self.package else command


ONE_PROCESS = {
    "agentray": (4096, 1024),
    "aiohttp": (4096, 1024),
    "openai": (1024, 256),
    "openai_tuned": (1024, 256),
    "verifiers": (256, 128),
    "verifiers_tuned": (768, 192),
    "inspect_ai": (256, 128),
    "inspect_ai_tuned": (384, 128),
}
"""Episodes of a repeat, in full and with `--quick`: fewer where a call costs more, so 10 s (5 s) or less."""
TWO_ACTORS = (16384, 4096)
BY_IN_FLIGHT = {8: 320, 128: 2048, 512: 4096, 2048: 8192}
"""Episodes by episodes in flight."""


def one_process(quick: bool) -> list[Side]:
    """Every contestant in one process, 128 episodes in flight."""
    return [Side(name, sizes[quick]) for name, sizes in ONE_PROCESS.items()]


def two_actors(quick: bool) -> list[Side]:
    """Ours and the bare loop in two Ray actors, 1,024 episodes in flight over both."""
    return [Side(name, TWO_ACTORS[quick], 1024, 2) for name in ("agentray", "aiohttp")]


def by_in_flight(quick: bool) -> list[Side]:
    """Ours and the bare loop at rising concurrency; left out with `--quick`."""
    sizes = {} if quick else BY_IN_FLIGHT
    return [
        Side(name, episodes, many) for many, episodes in sizes.items() for name in ("agentray", "aiohttp")
    ]


def prepare() -> tuple[dict[str, str], dict[str, str]]:
    """Interpreter by package, and the reason why a peer has none."""
    pythons = {"agentray": sys.executable, "aiohttp": sys.executable}
    failures: dict[str, str] = {}
    for peer in REQUIREMENTS:
        print(f"environment of {peer}", file=sys.stderr)
        try:
            pythons[peer] = str(python_of(peer))
        except (RuntimeError, OSError) as error:
            failures[peer] = f"not installed: {error}"
    return pythons, failures


def play(side: Side, python: str) -> dict[str, Any]:
    """One repeat of one side on a fresh endpoint.

    Raises:
        RuntimeError: The runner failed, or not every episode went right.
    """
    load = os.getloadavg()[0]
    with endpoint(LATENCY_S) as url:
        report, sampler = _run(side.command(python, url))
        served = stats(url)
    calls = side.episodes * LENGTH
    if (report["episodes_right"], served["calls"], served["received"]) != (side.episodes, calls, calls):
        raise RuntimeError(
            f"{report['episodes_right']} of {side.episodes} episodes right, {served['calls']} of {calls} "
            f"calls answered, {served['received']} received"
        )
    first_s, last_s = served["first_call_s"], served["last_call_s"]
    cpu_s = sampler.cpu_s(first_s, last_s) if side.workers else report["cpu_s"]
    return {
        "calls_per_s": calls / (last_s - first_s),
        "cpu_ms_per_call": 1000 * cpu_s / calls,
        "span_s": last_s - first_s,
        "wall_s": report["wall_s"],
        "cpu_s": cpu_s,
        "max_rss_bytes": sampler.max_rss_bytes if side.workers else report["max_rss_bytes"],
        "most_in_flight": served["most_waiting"],
        "endpoint_cpu_s": served["cpu_s"],
        "load_before": load,
        "versions": report["versions"],
    }


def _run(command: Sequence[str]) -> tuple[dict[str, Any], TreeSampler]:
    """The report of a runner, and what its processes used."""
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            env=environment,
            start_new_session=True,
        )
        sampler = TreeSampler(process.pid)
        sampler.start()
        try:
            output, _ = process.communicate(timeout=_RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"not done within {_RUN_TIMEOUT_S:g} s") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its session is ours
                process.wait()
            sampler.stop()
        messages.seek(0)
        last = " | ".join(line.strip() for line in messages.read().splitlines()[-4:])
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode}: {last[-500:]}")
    document: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return document, sampler


def compare(
    sides: Sequence[Side], repeats: int, pythons: dict[str, str], failures: dict[str, str]
) -> list[dict[str, Any]]:
    """One row per side; a side that fails goes to `failures` instead, and is not tried again."""
    taken: dict[Side, list[dict[str, Any]]] = {side: [] for side in sides if side.package in pythons}
    for repeat in range(repeats):
        for side in list(taken) if repeat % 2 == 0 else list(reversed(taken)):
            try:
                figures = play(side, pythons[side.package])
            except RuntimeError as error:
                failures[f"{side.name}, {side.in_flight} in flight, {side.workers} actors"] = str(error)
                del taken[side]
                continue
            taken[side].append(figures)
            rate, cost = figures["calls_per_s"], figures["cpu_ms_per_call"]
            print(f"{side.name:18} {side.in_flight:5} {rate:8.0f} calls/s {cost:7.3f} ms", file=sys.stderr)
    return [_row(side, figures) for side, figures in taken.items()]


def _row(side: Side, figures: list[dict[str, Any]]) -> dict[str, Any]:
    versions = [each.pop("versions") for each in figures]
    row = {
        "side": side.name,
        "in_flight": side.in_flight,
        "actors": side.workers,
        "episodes": side.episodes,
        "versions": versions[0],
        "max_rss_bytes": max(each["max_rss_bytes"] for each in figures),
    }
    for key in ("calls_per_s", "cpu_ms_per_call"):
        values = [each[key] for each in figures]
        row[key] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {**row, "repeats": figures}


def ratios(rows: Sequence[dict[str, Any]], key: str) -> dict[str, float | None]:
    """Ours over each other side's, from the medians; None where a side is missing."""
    medians = {row["side"]: row[key]["median"] for row in rows}
    ours = medians.get("agentray")
    others = [name for name in ONE_PROCESS if name != "agentray"]
    return {name: ours / medians[name] if ours and name in medians else None for name in others}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("rollout.json"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="smaller sizes: done within five minutes")
    arguments = parser.parse_args()
    pythons, failures = prepare()
    measures = {
        function.__name__: compare(function(arguments.quick), arguments.repeats, pythons, failures)
        for function in (one_process, two_actors, by_in_flight)
    }
    document = {
        "machine": manifest.machine(),
        "versions": manifest.versions(),
        "commit": manifest.commit(),
        "quick": arguments.quick,
        "latency_s": LATENCY_S,
        "turns": LENGTH,
        "ratios": ratios(measures["one_process"], "calls_per_s"),
        "cpu_ratios": ratios(measures["one_process"], "cpu_ms_per_call"),
        "failures": failures,
        **measures,
    }
    arguments.out.write_text(json.dumps(document, indent=1))
    for name, rows in measures.items():
        for row in rows:
            shown = (name, row["side"], row["in_flight"], row["calls_per_s"], row["cpu_ms_per_call"])
            print(*shown)
    print("ratios", document["ratios"])
    for name, reason in failures.items():
        print("failed:", name, reason)


if __name__ == "__main__":
    main()
