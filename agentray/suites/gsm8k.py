"""GSM8K: word problems in a dialogue with eight worked examples; greedy, and the final number counts.

The examples are real turns of the conversation, after an instruction that the model acknowledges, as
AgentTuning asks them. The reply is read twice: by `read_number`, which knows how people write numbers, and as
AgentTuning's harness reads it, whose habits cost a right answer its point where it ends in `1,200` or
`18.50`. Both scores are reported (Cobbe et al. 2021, arXiv:2110.14168).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from agentray.errors import DataError
from agentray.suites.benchmark import Answer, Benchmark, Grades, Question, QuestionSet, usable
from agentray.suites.reading import records
from agentray.types import Message

FIELDS = ("question", "answer")
"""Fields of every record."""
_SHOTS = 8
_SYSTEM = "You are a careful assistant who solves problems in small steps."
_RULES = (
    "I will give you arithmetic problems. Work each one out step by step, and finish with a line that holds "
    "four number signs and the result as a plain number, like this: #### 42"
)
_CALCULATION = re.compile(r"<<[^>]*>>")
_GOLD = re.compile(r"####\s*(-?[\d,]*\.?\d+)\s*$")
_NUMBER = re.compile(
    r"(?<![\w.])([-\u2212]?)[$€£]?([-\u2212]?)(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
)


class Gsm8k(Benchmark):
    """Word problems."""

    name: ClassVar[str] = "gsm8k"
    files: ClassVar[str | None] = "train*.jsonl and test*.jsonl"

    def questions(self, directory: Path, seed: int) -> QuestionSet:
        """One conversation per record of the test file."""
        train = records(directory, "gsm8k", FIELDS, "train*.jsonl")
        test = records(directory, "gsm8k", FIELDS, "test*.jsonl")
        shots = [row for row in train.values() if _gold(row) is not None][:_SHOTS]
        if len(shots) < _SHOTS:
            raise DataError(
                f"only {len(shots)} worked examples of gsm8k can be used",
                f"{_SHOTS} are asked with",
                "give a train*.jsonl whose answers end in #### and a number",
            )
        instruction = _dialogue(shots)
        golds = {place: _gold(row) for place, row in test.items()}
        excluded = [f"{place}: {_reason(test[place])}" for place, gold in golds.items() if gold is None]
        found = [
            Question(place, (test[place]["question"].strip(),), instruction, gold={"answer": gold})
            for place, gold in golds.items()
            if gold is not None
        ]
        return usable(self.name, found, excluded)

    def grade(self, answers: Sequence[Answer]) -> Grades:
        """100 for the right number, else 0, by our reading; and the paper's reading beside it."""
        ours, paper, unread = [], [], 0
        for each in answers:
            reply = each.first
            gold = each.question.gold["answer"]
            number = read_number(reply)
            unread += number is None
            ours.append(100.0 if number == Decimal(gold) else 0.0)
            paper.append(100.0 if read_like_the_paper(reply) == Decimal(gold) else 0.0)
        return Grades(ours, {"score_paper_reading": sum(paper) / len(paper), "without_number": unread})


def read_number(reply: str) -> Decimal | None:
    """The number that a reply ends with, as a person would read it.

    What follows the last `####` counts if it holds a number, and there the first one; else the last number of
    the reply. Signs, decimals, thousands separators, currency signs and a full stop after it are understood.
    """
    _, marker, tail = reply.rpartition("####")
    found = _NUMBER.findall(tail)[:1] if marker else []
    found = found or _NUMBER.findall(reply)[-1:]
    if not found:
        return None
    before, after, digits = found[0]
    return Decimal(("-" if before or after else "") + digits.replace(",", ""))


def read_like_the_paper(reply: str) -> Decimal | None:
    """The last run of digits, as AgentTuning's harness reads a reply: no sign, comma or decimal point.

    A run of several digits that starts with 0 is not a number there. The gold answer loses its commas, the
    reply does not, so `1,200` is read as 200.
    """
    runs = re.findall(r"\d+", reply, flags=re.ASCII)
    if not runs or (len(runs[-1]) > 1 and runs[-1].startswith("0")):
        return None
    return Decimal(runs[-1])


def _gold(row: Mapping[str, Any]) -> str | None:
    """The number after `####`, without commas; None where a record has none."""
    if not _is_text(row.get("question")) or not _is_text(row.get("answer")):
        return None
    found = _GOLD.search(row["answer"].strip())
    return found.group(1).replace(",", "") if found else None


def _reason(row: Mapping[str, Any]) -> str:
    """Why a record has no gold answer."""
    wrong = next((each for each in FIELDS if not _is_text(row.get(each))), None)
    return f"its {wrong} is not text" if wrong else "it does not end with #### and a number"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _dialogue(shots: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    messages = [Message("system", _SYSTEM), Message("user", _RULES), Message("assistant", "Ok.")]
    for row in shots:
        worked = _CALCULATION.sub("", row["answer"]).strip()
        messages += [Message("user", row["question"].strip()), Message("assistant", worked)]
    return tuple(messages)
