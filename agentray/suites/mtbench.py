"""MT-Bench: conversations of two turns, rated from 1 to 10 by a judge model.

Temperatures by category and the use of reference answers are FastChat's; the score is the mean rating of the
answers, both turns counting alike (Zheng et al. 2023, arXiv:2306.05685).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, Self

from agentray.config import SuiteConfig
from agentray.errors import DataError
from agentray.formats.reasons import short
from agentray.suites.benchmark import Answer, Ask, Benchmark, Grades, Question, QuestionSet, usable
from agentray.suites.judge import Case, rate
from agentray.suites.reading import records
from agentray.types import Message

_SYSTEM = "You are a helpful assistant who answers truthfully and to the point."
_TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
"""Greedy in all other categories."""
_REFERENCED = frozenset({"math", "reasoning", "coding"})
_FIELDS = ("question_id", "category", "turns")


class MtBench(Benchmark):
    """Two turns each, for a judge.

    Args:
        ask: Asks the judge; None without a judge.
        max_attempts: How often it is asked for one readable rating.
    """

    name: ClassVar[str] = "mtbench"
    files: ClassVar[str | None] = "question*.jsonl, and reference*.jsonl for reference answers"
    scale: ClassVar[str] = "1-10"
    max_tokens: ClassVar[int] = 4096

    def __init__(self, ask: Ask | None = None, max_attempts: int = 3) -> None:
        self._ask, self._max_attempts = ask, max_attempts

    @classmethod
    def from_settings(cls, config: SuiteConfig, judge: Ask | None) -> Self:
        """Rated by the judge, asked as often as the settings allow."""
        return cls(judge, config.judge.max_attempts)

    def skipped(self) -> str | None:
        """Nothing rates the answers without a judge."""
        if self._ask is None:
            return "it has no judge: give --set evaluate.judge.url=http://…/v1"
        return None

    def questions(self, directory: Path, seed: int) -> QuestionSet:
        """One conversation per record, a record of each category in turn."""
        rows = records(directory, "mtbench", _FIELDS, "question*.jsonl")
        references = _references(directory)
        bad = [place for place, row in rows.items() if not _good(row)]
        excluded = [
            f"{place}: it does not have two turns of text, a category and a question_id" for place in bad
        ]
        categories: dict[str, list[Question]] = defaultdict(list)
        for place, row in rows.items():
            if place not in bad:
                categories[row["category"]].append(_question(row, references))
        found = [each for batch in zip_longest(*categories.values()) for each in batch if each is not None]
        return usable(self.name, found, excluded)

    def grade(self, answers: Sequence[Answer]) -> Grades:
        """The mean rating of each conversation's answers; an answer that no judge rated counts nowhere."""
        assert self._ask is not None
        cases = {each.question.id: _cases(each) for each in answers}
        flat = [case for found in cases.values() for case in found]
        ratings = rate(flat, self._ask, self._max_attempts)
        turns: dict[str, list[float]] = defaultdict(list)
        values = []
        for found in cases.values():
            rated = {case.id: ratings.values[case.id] for case in found if case.id in ratings.values}
            if rated:
                values.append(sum(rated.values()) / len(rated))
            for name, value in rated.items():
                turns[f"score_turn_{name.rpartition('/')[2]}"].append(value)
        extra = {name: sum(each) / len(each) for name, each in sorted(turns.items())}
        unjudged = sum(len(each.question.turns) for each in answers) - len(ratings.values)
        return Grades(values, {**extra, "unjudged": unjudged, "judgements_unreadable": ratings.unreadable})


def _good(row: Mapping[str, Any]) -> bool:
    turns = row.get("turns")
    if not _is_name(row.get("question_id")):
        return False
    texts = [row.get("category"), *turns] if isinstance(turns, list | tuple) else []
    return len(texts) == 3 and all(isinstance(each, str) and each.strip() for each in texts)


def _is_name(value: Any) -> bool:
    return type(value) in (int, str) and value != ""


def _question(row: Mapping[str, Any], references: Mapping[str, list[str]]) -> Question:
    category, name = row["category"], str(row["question_id"])
    gold = {"category": category}
    if category in _REFERENCED and name in references:
        gold["references"] = references[name]
    return Question(
        id=name,
        turns=tuple(row["turns"]),
        instruction=(Message("system", _SYSTEM),),
        temperature=_TEMPERATURES.get(category, 0.0),
        gold=gold,
    )


def _references(directory: Path) -> dict[str, list[str]]:
    """Reference answers by question, from FastChat's answer records; none where the file is not there."""
    if not list(directory.glob("reference*.jsonl")):
        return {}
    rows = records(directory, "mtbench", (), "reference*.jsonl")
    found = {}
    for place, row in rows.items():
        try:
            name, turns = row["question_id"], row["choices"][0]["turns"]
            if not _is_name(name):
                raise TypeError(f"question_id is {short(name)}, neither text nor a whole number")
            if not isinstance(turns, list) or not all(isinstance(each, str) for each in turns):
                raise TypeError(f"turns is {short(turns)}, not a list of texts")
            found[str(name)] = turns
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(
                f"{place} of {str(directory)!r} is not a reference answer",
                f"it lacks {error}" if isinstance(error, KeyError) else str(error),
                "give FastChat's reference answers, or remove the file",
            ) from error
    return found


def _cases(answer: Answer) -> list[Case]:
    """An answer's turns to rate; those that a limit cut off before they began are not there."""
    replies = answer.replies[0]
    dialogue = tuple(zip(answer.question.turns, replies, strict=False))
    references = tuple(answer.question.gold.get("references", ()))
    return [
        Case(f"{answer.question.id}/{turn}", dialogue[:turn], references[:turn])
        for turn in range(1, len(dialogue) + 1)
    ]
