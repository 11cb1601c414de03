"""What every runner shares: the counting game, its prompts, its arguments and the report.

A runner is a script that plays the same games with one library and prints one line of JSON. It runs in its
own process, and a peer's in the peer's own environment, so this module needs the standard library only.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

LENGTH = 5
"""Turns of an episode."""
MODEL = "counter"
SAMPLING = {"temperature": 0.0, "max_tokens": 128, "top_p": 1.0}
RULES = "Say the number that follows the last one. Reply with 'Action: NUMBER'."
ACKNOWLEDGEMENT = "Ok."
Played = TypeVar("Played")
_ACTION = re.compile(r"Action:\s*(-?\d+)")


@dataclass
class Game:
    """One episode: say the next number until the goal is reached."""

    start: int
    number: int
    goal: int
    reward: float = 0.0
    done: bool = False

    @classmethod
    def begin(cls, start: int) -> Game:
        """A game that counts `LENGTH` numbers up from `start`."""
        return cls(start, start, start + LENGTH)

    def opening(self) -> list[dict[str, str]]:
        """The messages before the first reply."""
        task = f"Count from {self.start} to {self.goal}. Last number: {self.start}"
        return [
            {"role": "user", "content": RULES},
            {"role": "assistant", "content": ACKNOWLEDGEMENT},
            {"role": "user", "content": task},
        ]

    def step(self, reply: str) -> str:
        """Take a reply and say what follows; a wrong number ends the game without reward."""
        match = _ACTION.search(reply)
        if match is None or int(match[1]) != self.number + 1:
            self.done = True
            return "Wrong number."
        self.number += 1
        self.done = self.number == self.goal
        self.reward = float(self.done)
        return f"Last number: {self.number}"


def starts(count: int, seed: int = 0) -> list[int]:
    """First numbers of `count` different games."""
    return random.Random(seed).sample(range(10**9), count)


def arguments(description: str | None) -> argparse.Namespace:
    """A runner's command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", required=True, help="the endpoint, ending in /v1")
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--in-flight", type=int, default=128, help="episodes at once")
    parser.add_argument("--workers", type=int, default=0, help="Ray actors; 0 plays in this process")
    parser.add_argument("--tuned", action="store_true", help="a peer's fastest settings, not its defaults")
    parser.add_argument("--warm-up", type=int, default=16, help="episodes before the measured ones")
    return parser.parse_args()


def _cpu_s() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


def measure(
    given: argparse.Namespace,
    play: Callable[[list[int]], Played],
    rewards: Callable[[Played], Iterable[float | None]],
    packages: Sequence[str],
) -> None:
    """Play a warm-up, then the measured episodes, and print the report.

    Args:
        given: The command line.
        play: Plays one game per first number; all of its work is measured.
        rewards: The episodes' rewards in what `play` made, to check it; not measured.
        packages: Distributions whose versions to report.
    """
    if given.warm_up:
        play(starts(given.warm_up, seed=1))
    urllib.request.urlopen(given.url.removesuffix("/v1") + "/reset", timeout=30).close()
    cpu_s, started = _cpu_s(), time.monotonic()
    played = play(starts(given.episodes))
    wall_s, cpu_s = time.monotonic() - started, _cpu_s() - cpu_s
    report = {
        "calls": given.episodes * LENGTH,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "episodes_right": sum(reward == 1.0 for reward in rewards(played)),
        "versions": _versions(packages),
    }
    print(json.dumps(report), flush=True)


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
