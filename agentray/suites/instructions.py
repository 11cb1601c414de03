"""Instruction following: short writing tasks with constraints that a program can check.

The idea is IFEval's (Zhou et al. 2023, arXiv:2311.07911); constraints, wording and checks are our own. An
answer counts if it meets all of its constraints, read strictly.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from agentray.suites.benchmark import Answer, Benchmark, Grades, Question, QuestionSet

_TOPICS = (
    "the sea at night",
    "a walk in the forest",
    "how bread is made",
    "why people keep cats",
    "learning to ride a bicycle",
    "a rainy day in the city",
    "the use of trains",
    "growing tomatoes",
    "how to prepare for an exam",
    "the work of a postman",
    "what makes a good friend",
    "the first snow of the year",
    "repairing an old chair",
    "music in daily life",
    "why sleep matters",
    "a visit to a museum",
)
_WORDS = ["water", "morning", "light", "journey", "simple", "garden", "quiet", "time", "people", "window"]


@dataclass(frozen=True)
class Constraint:
    """One thing that can be asked of a text."""

    group: str
    """No two constraints of one group are asked together."""
    ask: str
    """The sentence that asks for it; `{value}` stands for what was drawn."""
    draw: Callable[[random.Random], Any]
    check: Callable[[str, Any], bool]
    """Whether a reply meets it."""


def _words(reply: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*", reply)


def _sentences(reply: str) -> int:
    return len([each for each in re.split(r"[.!?]+(?:\s|$)", reply) if each.strip()])


def _bullets(reply: str) -> int:
    return sum(line.lstrip().startswith(("- ", "* ")) for line in reply.splitlines())


def _paragraphs(reply: str) -> int:
    return len([each for each in re.split(r"\n\s*\n", reply) if each.strip()])


def _json_with(reply: str, keys: Sequence[str]) -> bool:
    text = reply.strip()
    if fenced := re.fullmatch(r"```(?:json)?\s*\n(.*)\n\s*```", text, flags=re.DOTALL):
        text = fenced.group(1)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and sorted(document) == sorted(keys)


def _has(reply: str, word: str) -> bool:
    return word.lower() in (each.lower() for each in _words(reply))


def _nothing(rng: random.Random) -> None:
    return None


CONSTRAINTS: dict[str, Constraint] = {
    "at_least_words": Constraint(
        "length",
        "Use at least {value} words.",
        lambda rng: rng.choice((20, 30, 40)),
        lambda reply, value: len(_words(reply)) >= value,
    ),
    "at_most_words": Constraint(
        "length",
        "Use at most {value} words.",
        lambda rng: rng.choice((15, 25, 40)),
        lambda reply, value: 0 < len(_words(reply)) <= value,
    ),
    "sentences": Constraint(
        "length",
        "Write exactly {value} sentences.",
        lambda rng: rng.randint(2, 4),
        lambda reply, value: _sentences(reply) == value,
    ),
    "bullets": Constraint(
        "format",
        "Answer with exactly {value} bullet points, each on a line of its own that starts with a dash.",
        lambda rng: rng.randint(2, 5),
        lambda reply, value: _bullets(reply) == value,
    ),
    "paragraphs": Constraint(
        "format",
        "Write exactly {value} paragraphs with an empty line between them.",
        lambda rng: rng.randint(2, 3),
        lambda reply, value: _paragraphs(reply) == value,
    ),
    "json": Constraint(
        "alone",
        "Answer with nothing but a JSON object that has exactly these keys: {value}.",
        lambda rng: rng.choice((["title", "text"], ["topic", "summary"], ["name", "reason"])),
        _json_with,
    ),
    "lower_case": Constraint(
        "case",
        "Use no capital letters.",
        _nothing,
        lambda reply, _: bool(_words(reply)) and reply == reply.lower(),
    ),
    "upper_case": Constraint(
        "case",
        "Write every letter as a capital letter.",
        _nothing,
        lambda reply, _: bool(_words(reply)) and reply == reply.upper(),
    ),
    "keyword": Constraint(
        "word",
        'Use the word "{value}".',
        lambda rng: rng.choice(_WORDS),
        _has,
    ),
    "without": Constraint(
        "word",
        'Do not use the word "{value}".',
        lambda rng: rng.choice(("the", "and", "very", "of")),  # none of them in an ending
        lambda reply, value: bool(_words(reply)) and not _has(reply, value),
    ),
    "no_commas": Constraint(
        "mark",
        "Use no commas.",
        _nothing,
        lambda reply, _: bool(_words(reply)) and "," not in reply,
    ),
    "ends_with": Constraint(
        "mark",
        'End with exactly these words: "{value}"',
        lambda rng: rng.choice(("That is all.", "So it goes.")),
        lambda reply, value: reply.strip().lower().endswith(value.lower()),
    ),
    "title": Constraint(
        "head",
        "Begin with a title in double angle brackets, like <<This>>.",
        _nothing,
        lambda reply, _: re.match(r"\s*<<[^<>\n]*\w[^<>\n]*>>", reply) is not None,
    ),
}
"""What can be asked for, by name."""


class Instructions(Benchmark):
    """Texts with constraints."""

    name: ClassVar[str] = "instructions"
    max_tokens: ClassVar[int] = 256

    def questions(self, directory: Path, seed: int) -> QuestionSet:
        """Tasks with one to three constraints, drawn with the seed."""
        return QuestionSet([_question(seed, index) for index in range(40)])

    def grade(self, answers: Sequence[Answer]) -> Grades:
        """100 where all constraints are met, else 0; and the share of single constraints that are."""
        values, met = [], []
        for each in answers:
            checks = [follows(each.first, name, value) for name, value in each.question.gold["constraints"]]
            values.append(100.0 if all(checks) else 0.0)
            met += checks
        return Grades(values, {"score_per_constraint": 100 * sum(met) / len(met)})


def follows(reply: str, name: str, value: Any) -> bool:
    """Whether a reply meets a constraint, with the value that was asked for."""
    return CONSTRAINTS[name].check(reply, value)


def _question(seed: int, index: int) -> Question:
    rng = random.Random(f"instructions {seed} {index}")
    names = rng.sample(sorted(CONSTRAINTS), len(CONSTRAINTS))
    chosen: list[str] = []
    for name in names:
        groups = {CONSTRAINTS[each].group for each in chosen}
        if len(chosen) < 1 + index % 3 and "alone" not in groups and CONSTRAINTS[name].group not in groups:
            if CONSTRAINTS[name].group == "alone" and chosen:
                continue
            chosen.append(name)
    drawn = [(name, CONSTRAINTS[name].draw(rng)) for name in chosen]
    asked = " ".join(CONSTRAINTS[name].ask.format(value=_said(value)) for name, value in drawn)
    text = f"Write a short text about {_TOPICS[index % len(_TOPICS)]}. {asked}"
    return Question(f"{seed}-{index}", (text,), gold={"constraints": [list(each) for each in drawn]})


def _said(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
