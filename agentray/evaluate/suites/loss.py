"""The loss on general conversations that no stage trains on: what fine-tuning made the model forget.

Mean negative log-likelihood per token of a conversation's last reply, given all that precedes it in the
model's chat template; the score is the mean over conversations, lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from agentray.data.formats import read_conversations
from agentray.evaluate.suites.benchmark import Answer, AskedBy, Grades, Question, QuestionSet, usable
from agentray.evaluate.suites.reading import missing
from agentray.types import Message


class Loss:
    """Log-likelihood of given replies."""

    name: ClassVar[str] = "loss"
    scale: ClassVar[str] = "nats/token"
    asked_by: ClassVar[AskedBy] = "text"
    max_tokens: ClassVar[int] = 1
    samples = 1

    def skipped(self) -> str | None:
        """Never."""
        return None

    def questions(self, directory: Path | None, seed: int) -> QuestionSet:
        """One per conversation, about its last reply."""
        if directory is None:
            return QuestionSet([_question(f"stand-in:{i}", each) for i, each in enumerate(_ours())], True)
        paths = sorted([*directory.glob("*.json"), *directory.glob("*.jsonl")])
        if not paths:
            raise missing(directory, "loss", "*.json or *.jsonl")
        found: list[Question] = []
        left_out: list[str] = []
        for path in paths:
            corpus = read_conversations(path)
            for reason, count in corpus.rejected.items():
                left_out += [f"{path.name}: {reason}"] * count
            for index, each in enumerate(corpus.conversations):
                if each[-1].content.strip():
                    found.append(_question(f"{path.name}:{index}", each))
                else:
                    left_out.append(f"{path.name}: empty_last_reply")
        return usable(self.name, found, left_out, stand_in=False)

    def grade(self, answers: Sequence[Answer]) -> Grades:
        """Nats per token of each reply."""
        values = [-each.logprobs[0] / each.num_tokens[0] for each in answers]
        tokens = sum(each.num_tokens[0] for each in answers)
        per_token = -math.fsum(each.logprobs[0] for each in answers) / tokens
        return Grades(values, {"over_all_tokens": per_token, "tokens": tokens})


def _question(name: str, conversation: Sequence[Message]) -> Question:
    *before, asked, reply = conversation
    return Question(name, (asked.content,), tuple(before), (reply.content,))


def _ours() -> list[tuple[Message, Message]]:
    """Our own conversations: a line asked, a line answered, an empty line."""
    text = files("agentray.evaluate.suites").joinpath("conversations.txt").read_text(encoding="utf-8")
    pairs = [block.split("\n", 1) for block in text.strip().split("\n\n")]
    return [(Message("user", asked), Message("assistant", reply)) for asked, reply in pairs]
