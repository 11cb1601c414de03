"""Synthetic function-writing problems in HumanEval's record shape.

A family is a task with a number in it, solved twice: here, to make its hidden tests, and in text, as the
canonical solution. A test runs the one against the other in the sandbox.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_NUM_TESTS = 6


@dataclass(frozen=True)
class _Family:
    """Problems that differ in `k` only; `{k}` stands for it in every text."""

    name: str
    signature: str
    task: str
    body: str
    """The solution in text."""
    solve: Callable[[Any, int], Any]
    """The same, from the argument and `k`."""
    inputs: Callable[[random.Random], Any]
    """The argument of one test."""


def _numbers(rng: random.Random) -> list[int]:
    return [rng.randint(-20, 40) for _ in range(rng.randint(0, 8))]


def _text(rng: random.Random) -> str:
    words = ("river", "Stone", "apple", "cloud", "Lamp", "echo", "Queen", "umbrella", "ice")
    return " ".join(rng.choices(words, k=rng.randint(0, 5)))


def _number(rng: random.Random) -> int:
    return rng.randint(0, 60)


_FAMILIES = (
    _Family(
        "add_{k}",
        "number: int) -> int",
        "Return number plus {k}.",
        "return number + {k}",
        lambda n, k: n + k,
        _number,
    ),
    _Family(
        "times_{k}",
        "number: int) -> int",
        "Return number multiplied by {k}.",
        "return number * {k}",
        lambda n, k: n * k,
        _number,
    ),
    _Family(
        "is_multiple_of_{k}",
        "number: int) -> bool",
        "Return True if number can be divided by {k} without a remainder, else False.",
        "return number % {k} == 0",
        lambda n, k: n % k == 0,
        _number,
    ),
    _Family(
        "sum_above_{k}",
        "numbers: list[int]) -> int",
        "Return the sum of those numbers that are greater than {k}.",
        "return sum(n for n in numbers if n > {k})",
        lambda ns, k: sum(filter(k.__lt__, ns)),
        _numbers,
    ),
    _Family(
        "count_below_{k}",
        "numbers: list[int]) -> int",
        "Return how many of the numbers are less than {k}.",
        "return len([n for n in numbers if n < {k}])",
        lambda ns, k: sum(map(k.__gt__, ns)),
        _numbers,
    ),
    _Family(
        "first_{k}",
        "numbers: list[int]) -> list[int]",
        "Return the first {k} numbers, or all of them if there are fewer.",
        "return numbers[:{k}]",
        lambda ns, k: ns[:k],
        _numbers,
    ),
    _Family(
        "largest_{k}",
        "numbers: list[int]) -> list[int]",
        "Return the {k} largest numbers, largest first; all of them if there are fewer.",
        "return sorted(numbers, reverse=True)[:{k}]",
        lambda ns, k: sorted(ns)[::-1][:k],
        _numbers,
    ),
    _Family(
        "words_of_{k}",
        "text: str) -> list[str]",
        "Return the words of text that have exactly {k} letters, in their order.",
        "return [word for word in text.split() if len(word) == {k}]",
        lambda text, k: [word for word in text.split() if len(word) == k],
        _text,
    ),
    _Family(
        "repeat_{k}",
        "text: str) -> str",
        "Return text written {k} times in a row.",
        "return text * {k}",
        lambda text, k: text * k,
        _text,
    ),
    _Family(
        "shorten_{k}",
        "text: str) -> str",
        "Return text itself if it has at most {k} characters, else its first {k} characters and three dots.",
        'return text if len(text) <= {k} else text[:{k}] + "..."',
        lambda text, k: text if len(text) <= k else text[:k] + "...",
        _text,
    ),
    _Family(
        "every_{k}",
        "numbers: list[int]) -> list[int]",
        "Return every {k}th number, beginning with the first.",
        "return numbers[::{k}]",
        lambda ns, k: ns[::k],
        _numbers,
    ),
    _Family(
        "clip_{k}",
        "numbers: list[int]) -> list[int]",
        "Return the numbers with each one that is greater than {k} replaced by {k}.",
        "return [min(n, {k}) for n in numbers]",
        lambda ns, k: [min(n, k) for n in ns],
        _numbers,
    ),
)


def function_records(seed: int, count: int = 24) -> dict[str, dict[str, Any]]:
    """Problems in HumanEval's shape, families in turn; a larger count begins with the same problems.

    Args:
        seed: Of the numbers and the test inputs.
        count: Problems.
    """
    found = {}
    for index in range(count):
        family = _FAMILIES[index % len(_FAMILIES)]
        rng = random.Random(f"functions {seed} {index}")
        # Two rounds of a family never share their number.
        k = rng.randint(2, 4) + 3 * (index // len(_FAMILIES))
        found[f"synthetic:{index}"] = _record(family, k, index, rng)
    return found


def _record(family: _Family, k: int, index: int, rng: random.Random) -> dict[str, Any]:
    name = family.name.format(k=k)
    body = family.body.format(k=k)
    prompt = f'def {name}({family.signature}:\n    """{family.task.format(k=k)}"""\n'
    inputs = [family.inputs(rng) for _ in range(_NUM_TESTS)]
    checks = "".join(f"    assert candidate({each!r}) == {family.solve(each, k)!r}\n" for each in inputs)
    return {
        "task_id": f"functions/{index}",
        "prompt": prompt,
        "entry_point": name,
        "canonical_solution": f"    {body}\n",
        "test": f"def check(candidate):\n{checks}",
    }
