"""What a benchmark is: questions to ask, and a way to grade the stored answers.

A benchmark never talks to the model. The stage asks its questions, by rollouts or by log-likelihood, and
hands it what was stored; so grading can be done again without the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from agentray.errors import DataError
from agentray.types import Message

AskedBy = Literal["reply", "options", "text"]
"""`reply`: the model writes its answers. `options`: the log-likelihood of continuations of a plain text.
`text`: that of a given reply in a chat."""


@dataclass(frozen=True, slots=True)
class Question:
    """One item of a benchmark."""

    id: str
    """Unique within the benchmark, and the same in every run."""
    turns: tuple[str, ...]
    """What is asked, one user message after the other; where nothing is written there is one."""
    instruction: tuple[Message, ...] = ()
    """System message and worked examples that come before."""
    options: tuple[str, ...] = ()
    """Continuations whose log-likelihood is asked for; none where the model writes its answer."""
    temperature: float = 0.0
    gold: Mapping[str, Any] = field(default_factory=dict)
    """What the answer is graded by; JSON. The model never sees it."""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """The questions of a benchmark, and what became of the records they came from."""

    questions: Sequence[Question]
    stand_in: bool
    """Generated here, because the benchmark's own files were not given."""
    left_out: Sequence[str] = ()
    """Records that cannot be used: place and reason."""


def usable(
    benchmark: str, questions: Sequence[Question], left_out: Sequence[str], *, stand_in: bool
) -> QuestionSet:
    """The set of a benchmark's questions; of several with one id the first stays.

    Raises:
        DataError: There is none.
    """
    first: dict[str, Question] = {}
    repeated = []
    for each in questions:
        if first.setdefault(each.id, each) is not each:
            repeated.append(f"{each.id}: an earlier record has this id")
    if not first:
        why = left_out[0] if left_out else "there are none"
        raise DataError(f"no record of {benchmark} can be used", why, "correct its files, or give others")
    return QuestionSet(list(first.values()), stand_in, [*left_out, *repeated])


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of one question."""

    question: Question
    replies: tuple[tuple[str, ...], ...] = ()
    """Per attempt that was not lost, one reply per turn; fewer where a limit ended it."""
    logprobs: tuple[float, ...] = ()
    """Per option, the natural logarithm of its probability."""
    num_tokens: tuple[int, ...] = ()
    """Per option, its length in tokens."""
    truncated: bool = False
    """A limit cut the question or a reply off."""


@dataclass(frozen=True, slots=True)
class Grades:
    """The values of one benchmark's answers, before they are averaged."""

    values: Sequence[float]
    """One per graded answer, on the benchmark's scale."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further figures for the report."""


class Benchmark(Protocol):
    """One task of a suite."""

    name: ClassVar[str]
    scale: ClassVar[str]
    """Of its score: `0-100`, `1-10`, or `nats/token`, where lower is better."""
    asked_by: ClassVar[AskedBy]
    max_tokens: ClassVar[int]
    """Longest reply, in tokens."""
    samples: int
    """Replies to each question."""

    def skipped(self) -> str | None:
        """Why it cannot be run here, with what would mend that; None when it can."""

    def questions(self, directory: Path | None, seed: int) -> QuestionSet:
        """Its questions, from its own files or generated.

        Raises:
            UsageError: A file is missing.
            DataError: The files are not this benchmark's.
        """

    def grade(self, answers: Sequence[Answer]) -> Grades:
        """Values of the answers, none of which is without a reply or log-likelihood.

        Raises:
            AgentrayError: What it grades with does not work.
        """
