"""What a benchmark is: questions to ask, and a way to grade the stored answers.

A benchmark never talks to the model. The stage asks its questions, by rollouts or by log-likelihood, and
hands it what was stored; so grading can be done again without the model.

    class Capitals(Benchmark):
        name = "capitals"
        files = "capitals.jsonl"

        def questions(self, directory, seed):
            rows = records(directory, self.name, ("question", "capital"), self.files).items()
            return usable(self.name, [Question(at, (row["question"],), gold=row) for at, row in rows], [])

        def grade(self, answers):
            return Grades([100.0 * (each.question.gold["capital"] in each.first) for each in answers])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from agentray.config import SuiteConfig
from agentray.errors import DataError
from agentray.plugins import Seam
from agentray.types import Message

BENCHMARKS = Seam(
    "benchmark",
    {
        "gsm8k_dialogue": "agentray.suites.gsm8k:Gsm8k",
        "humaneval": "agentray.suites.humaneval:HumanEval",
        "mtbench": "agentray.suites.mtbench:MtBench",
        "instructions": "agentray.suites.instructions:Instructions",
        "loss": "agentray.suites.loss:Loss",
    },
    "give --suite general, a benchmark, or a task of lm-eval",
)
"""Benchmarks by name; tasks of lm-eval need no entry."""

AskedBy = Literal["reply", "likelihood"]
"""`reply`: the model writes its answers. `likelihood`: how likely the `options` are as its next reply."""


@dataclass(frozen=True, slots=True)
class Question:
    """One item of a benchmark."""

    id: str
    """Unique within the benchmark, and the same in every run."""
    turns: tuple[str, ...]
    """What is asked, one user message after the other; a question with options has one."""
    instruction: tuple[Message, ...] = ()
    """System message and worked examples that come before."""
    options: tuple[str, ...] = ()
    """Replies whose log-likelihood is asked for; none where the model writes its answer."""
    temperature: float = 0.0
    gold: Mapping[str, Any] = field(default_factory=dict)
    """What the answer is graded by; JSON. The model never sees it."""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """The questions of a benchmark, and what became of the records they came from."""

    questions: Sequence[Question]
    excluded: Sequence[str] = ()
    """Records that cannot be used: place and reason."""


def usable(benchmark: str, questions: Sequence[Question], excluded: Sequence[str]) -> QuestionSet:
    """The set of a benchmark's questions; of several with one id the first stays.

    Raises:
        DataError: There are no questions.
    """
    first: dict[str, Question] = {}
    repeated = []
    for each in questions:
        if first.setdefault(each.id, each) is not each:
            repeated.append(f"{each.id}: an earlier record has this id")
    if not first:
        why = excluded[0] if excluded else "there are none"
        raise DataError(f"no record of {benchmark} can be used", why, "correct its files, or give others")
    return QuestionSet(list(first.values()), [*excluded, *repeated])


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of one question."""

    question: Question
    replies: tuple[tuple[str, ...], ...] = ()
    """Per attempt that did not fail, one reply per turn; fewer where a limit ended it."""
    logprobs: tuple[float, ...] = ()
    """Per option, the natural logarithm of its probability."""
    num_tokens: tuple[int, ...] = ()
    """Per option, its length in tokens."""
    truncated: bool = False
    """A limit cut off the question or a reply."""

    @property
    def first(self) -> str:
        """The first reply of the first attempt; empty where a limit ended the attempt before it."""
        return self.replies[0][0] if self.replies and self.replies[0] else ""


@dataclass(frozen=True, slots=True)
class Grades:
    """The values of one benchmark's answers, before they are averaged."""

    values: Sequence[float]
    """One per graded answer, on the benchmark's scale."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further figures for the report."""


Ask = Callable[[str, Sequence[Question]], Mapping[str, str]]
"""Asks the judge: the name of the run and the questions; its replies by question id, none where it failed."""


class Benchmark:
    """A benchmark that is not a task of lm-eval; plugins register theirs under `agentray.benchmarks`."""

    name: ClassVar[str]
    """Also the folder of `--data` that holds its files."""
    files: ClassVar[str | None] = None
    """What that folder holds, for the error that asks for it; None for a benchmark without files."""
    scale: ClassVar[str] = "0-100"
    """Of its score: `0-100`, `1-10`, or `nats/token`, where lower is better."""
    asked_by: ClassVar[AskedBy] = "reply"
    max_tokens: ClassVar[int] = 512
    """Longest reply, in tokens."""
    samples: int = 1
    """Replies to each question."""

    @classmethod
    def from_settings(cls, config: SuiteConfig, judge: Ask | None) -> Self:
        """The benchmark of a run, with the judge that was given to it."""
        return cls()

    def skipped(self) -> str | None:
        """Why it cannot be run here, and what would mend that; None when it can."""
        return None

    def questions(self, directory: Path, seed: int) -> QuestionSet:
        """Its questions, from its files or drawn with the seed.

        Raises:
            UsageError: A file is missing.
            DataError: The files are not this benchmark's.
        """
        raise NotImplementedError

    def grade(self, answers: Sequence[Answer]) -> Grades:
        """Values of the answers, each of which has a reply or log-likelihoods.

        Raises:
            AgentrayError: What it grades with does not work.
        """
        raise NotImplementedError
