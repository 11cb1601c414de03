"""The loss on general conversations that no stage trains on: what fine-tuning made the model forget.

Mean negative log-likelihood per token of a conversation's last reply, given all that precedes it in the
model's chat template; the score is the mean over conversations, lower is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from agentray.formats.conversations import read_conversations
from agentray.suites.benchmark import Answer, AskedBy, Benchmark, Grades, Question, QuestionSet, usable
from agentray.suites.reading import missing
from agentray.types import Conversation, Message


class Loss(Benchmark):
    """Log-likelihood of given replies."""

    name: ClassVar[str] = "loss"
    files: ClassVar[str | None] = "conversations in *.json or *.jsonl"
    scale: ClassVar[str] = "nats/token"
    asked_by: ClassVar[AskedBy] = "likelihood"

    def questions(self, directory: Path, seed: int) -> QuestionSet:
        """One per conversation, about its last reply."""
        paths = sorted([*directory.glob("*.json"), *directory.glob("*.jsonl")])
        if not paths:
            raise missing(directory, "loss", "*.json or *.jsonl")
        found: list[Question] = []
        excluded: list[str] = []
        for path in paths:
            corpus = read_conversations(path)
            excluded += [f"{each.place}: {each.reason}" for each in corpus.rejected]
            for said in corpus.conversations:
                reason = _reason(said)
                if reason is None:
                    found.append(_question(said.place, said.messages))
                else:
                    excluded.append(f"{said.place}: {reason}")
        return usable(self.name, found, excluded)

    def grade(self, answers: Sequence[Answer]) -> Grades:
        """Nats per token of each reply."""
        values = [-each.logprobs[0] / each.num_tokens[0] for each in answers]
        tokens = sum(each.num_tokens[0] for each in answers)
        per_token = -math.fsum(each.logprobs[0] for each in answers) / tokens
        return Grades(values, {"over_all_tokens": per_token, "tokens": tokens})


def _reason(said: Conversation) -> str | None:
    """Why a conversation cannot be asked about: a question is text after text, and its reply text."""
    *before, reply = said.messages
    sides = [each.role for each in before if each.role != "system"]
    if said.tools or any(each.role == "tool" or each.tool_calls for each in said.messages):
        return "has_tools"
    if any(each.reasoning for each in said.messages):
        return "has_reasoning"
    if not reply.content.strip():
        return "empty_last_reply"
    if not reply.loss:
        return "last_reply_without_loss"
    if (
        not sides
        or before[-1].role != "user"
        or any(a == b for a, b in pairwise(sides))
        or sides[0] != "user"
    ):
        return "roles_do_not_alternate"
    return None


def _question(name: str, conversation: Sequence[Message]) -> Question:
    *before, asked, reply = conversation
    return Question(name, (asked.content,), tuple(before), (reply.content,))
