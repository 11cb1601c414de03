"""MMLU: multiple choice in 57 subjects, five worked examples of the subject before each question.

The answer is the letter with the highest log-probability after `Answer:`, and the score the share of
questions answered rightly, all subjects together (Hendrycks et al. 2021, arXiv:2009.03300; AgentTuning,
section 4).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

from agentray.errors import DataError
from agentray.suites.benchmark import Answer, AskedBy, Grades, Question, QuestionSet, usable
from agentray.suites.reading import Records, csv_rows, missing, records
from agentray.suites.standins import choice_records

_LETTERS = "ABCD"
_SHOTS = 5


class Mmlu:
    """Four options; the likeliest letter counts."""

    name: ClassVar[str] = "mmlu"
    scale: ClassVar[str] = "0-100"
    asked_by: ClassVar[AskedBy] = "options"
    max_tokens: ClassVar[int] = 1
    samples = 1

    def skipped(self) -> str | None:
        """Never."""
        return None

    def questions(self, directory: Path | None, seed: int) -> QuestionSet:
        """One question per record of the test file, a record of each subject in turn.

        The order lets any number of the first questions touch as many subjects as it can.
        """
        dev, test = choice_records(seed) if directory is None else _read(directory)
        shots: dict[str, list[str]] = defaultdict(list)
        for row in dev.values():
            if _reason(row) is None and len(shots[row["subject"]]) < _SHOTS:
                shots[row["subject"]].append(_shown(row) + f" {row['answer']}")
        left_out = {
            place: reason for place, row in test.items() if (reason := _reason(row, shots)) is not None
        }
        good = ((place, row) for place, row in test.items() if place not in left_out)
        found = [
            Question(
                id=place,
                turns=("\n\n".join([_heading(row["subject"]), *shots[row["subject"]], _shown(row)]),),
                options=tuple(f" {letter}" for letter in _LETTERS),
                gold={"answer": row["answer"], "subject": row["subject"]},
            )
            for place, row in _in_turn(good)
        ]
        reasons = [f"{place}: {reason}" for place, reason in left_out.items()]
        return usable(self.name, found, reasons, stand_in=directory is None)

    def grade(self, answers: Sequence[Answer]) -> Grades:
        """100 where the right letter is the likeliest, else 0; and the mean over subjects beside it."""
        values, subjects = [], defaultdict(list)
        for each in answers:
            chosen = _LETTERS[max(range(len(_LETTERS)), key=lambda index: each.logprobs[index])]
            values.append(100.0 if chosen == each.question.gold["answer"] else 0.0)
            subjects[each.question.gold["subject"]].append(values[-1])
        means = [sum(each) / len(each) for each in subjects.values()]
        return Grades(values, {"macro_average": sum(means) / len(means), "subjects": len(means)})


def _read(directory: Path) -> tuple[Records, Records]:
    """The dev and test records of either layout."""
    if list(directory.glob("test/*.csv")):
        return _read_csv(directory, "dev"), _read_csv(directory, "test")
    return records(directory, "mmlu", "dev.jsonl"), records(directory, "mmlu", "test.jsonl")


def _read_csv(directory: Path, split: str) -> Records:
    """The published layout: a file per subject, without header: question, four options, letter."""
    paths = sorted((directory / split).glob("*.csv"))
    if not paths:
        raise missing(directory, "mmlu", f"{split}/*.csv")
    found: Records = {}
    for path in paths:
        subject = path.stem.removesuffix(f"_{split}")
        for number, row in csv_rows(path):
            if len(row) != 6:
                raise DataError(
                    f"{str(path)!r} is not a file of mmlu",
                    f"row {number} has {len(row)} columns, not a question, four options and a letter",
                    "--set evaluate.data.mmlu=DIR",
                )
            found[f"{split}/{path.name}:{number}"] = {
                "subject": subject,
                "question": row[0],
                "choices": row[1:5],
                "answer": row[5],
            }
    return found


def _reason(row: Mapping[str, Any], shots: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """Why a record cannot be asked; `shots` by subject, where it needs some."""
    choices = row.get("choices")
    if not all(isinstance(row.get(each), str) and row[each].strip() for each in ("question", "subject")):
        return "its question or subject is no text"
    if not isinstance(choices, list) or len(choices) != len(_LETTERS):
        return f"it has {len(choices) if isinstance(choices, list) else 'no'} options, not four"
    if not all(isinstance(each, str) for each in choices):
        return "its options are not all text"
    if row.get("answer") not in tuple(_LETTERS):
        return f"its answer is {row.get('answer')!r}, not one of A, B, C, D"
    if shots is not None and not shots.get(row["subject"]):
        return f"the dev file has no example of {row['subject']!r}"
    return None


def _heading(subject: str) -> str:
    return f"Questions about {subject.replace('_', ' ')}. Each has four options and one correct answer."


def _shown(row: Mapping[str, Any]) -> str:
    options = "\n".join(f"{letter}. {text}" for letter, text in zip(_LETTERS, row["choices"], strict=True))
    return f"{row['question'].strip()}\n{options}\nAnswer:"


def _in_turn(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The first record of every subject, then the second of every subject, and so on."""
    subjects: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for place, row in rows:
        subjects[row["subject"]].append((place, row))
    for batch in zip_longest(*subjects.values()):
        yield from (each for each in batch if each is not None)
