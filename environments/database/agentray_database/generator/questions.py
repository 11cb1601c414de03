"""Generated SELECT requests, in AgentBench's categories."""

from __future__ import annotations

import random
from collections.abc import Callable

from agentray_database.generator.asking import Written
from agentray_database.generator.lookups import compare, lookup
from agentray_database.generator.measures import aggregation, counting, ranking
from agentray_database.generator.wording import Request, Requests, Voice, sentence

CATEGORIES: dict[str, tuple[int, Callable[[Voice], Written]]] = {
    "other": (30, lookup),
    "counting": (15, counting),
    "comparison": (17, compare),
    "ranking": (15, ranking),
    "aggregation-SUM": (6, aggregation("sum")),
    "aggregation-MIN": (6, aggregation("min")),
    "aggregation-MAX": (6, aggregation("max")),
    "aggregation-AVG": (5, aggregation("avg")),
}
"""AgentBench's types of SELECT questions: how often each is drawn, of 100, and who writes it."""


_PLAIN = ("other", "counting", "aggregation-MIN", "aggregation-MAX")


def draw_category(rng: random.Random, requests: Requests) -> str:
    """A category by its weight; plain requests look up, count, and take extremes."""
    names = list(CATEGORIES) if requests == "free" else list(_PLAIN)
    return rng.choices(names, [CATEGORIES[name][0] for name in names])[0]


def select_request(voice: Voice, category: str) -> Request | None:
    """A question of a category; None when this table offers none."""
    written = CATEGORIES[category][1](voice)
    if written is None:
        return None
    question = sentence(written.question)
    if voice.rng.random() < 0.42:
        question = question[:1].lower() + question[1:]
    if voice.rng.random() < 0.06:
        question = question.rstrip("?")
    return Request(category, question, written.thought, written.sql, written.retry_sql)
