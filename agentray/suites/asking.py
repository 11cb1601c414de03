"""Asks questions by rollouts: journal, resumption, retries and deadlines are the rollout stage's.

Questions go to a tasks file, the environment `prompts` asks them, and the trajectories are the answers. A
question with a stored answer is not asked again, so a longer list of questions costs only the new ones.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from agentray import manifest
from agentray.config import RolloutConfig
from agentray.data.store import read_run
from agentray.env import TextEnvironment, build, resolve
from agentray.rollout.run import run as rollout
from agentray.rollout.tasks import line, write_lines
from agentray.suites.benchmark import Answer, Question
from agentray.types import Progress, Task, Trajectory, silent


def ask(
    questions: Sequence[Question], how: RolloutConfig, progress: Progress = silent
) -> tuple[list[Answer], list[str]]:
    """Answers to questions, and the errors of those that failed.

    Args:
        questions: What to ask.
        how: Who is asked and how; `out` is where the answers go, a run for each temperature and call.
        progress: Told how far it is.

    Returns:
        Answers in the order of the questions, and the errors of those of which all attempts failed.
    """
    groups: dict[float, list[Question]] = defaultdict(list)
    for each in questions:
        groups[each.temperature].append(each)
    attempts: dict[str, list[Trajectory]] = {}
    for temperature, group in groups.items():
        out = how.out / f"answers-{temperature:g}"
        sampling = how.sampling.model_copy(update={"temperature": temperature})
        attempts |= _attempts(group, how.model_copy(update={"out": out, "sampling": sampling}), progress)
    answers, errors = [], []
    for question in questions:
        tries = attempts[_key(question)]
        kept = [each for each in tries if each.status != "failed"][: how.samples]
        if kept:
            replies = tuple(tuple(turn.reply.text for turn in each.turns) for each in kept)
            answers.append(Answer(question, replies, truncated=any(map(_cut, kept))))
        else:
            errors.append(f"{question.id}: {tries[0].error if tries else 'it was not asked'}")
    return answers, errors


def _attempts(
    questions: Sequence[Question], how: RolloutConfig, progress: Progress
) -> dict[str, list[Trajectory]]:
    """Attempts at each question, by its key: those of finished runs in `how.out`, and those of a new one.

    The new run is named by what it asks, so it is the same run when it was interrupted and is started again.
    """
    found: dict[str, list[Trajectory]] = {_key(each): [] for each in questions}
    for run in sorted(path.parent for path in how.out.glob(f"*/{manifest.NAME}")):
        _add(found, run)
    missing = [
        each
        for each in questions
        if sum(attempt.status != "failed" for attempt in found[_key(each)]) < how.samples
    ]
    progress(len(questions) - len(missing), len(questions))
    if missing:
        keys = sorted((_key(each), len(found[_key(each)])) for each in missing)
        out = how.out / hashlib.sha256(repr(keys).encode()).hexdigest()[:8]
        file = how.out / f"{out.name}.jsonl"
        write_lines(file, (line(_prompts(), _task(each)) for each in missing))
        rollout(how.model_copy(update={"out": out, "tasks": file, "retry_failed": True}), progress)
        _add(found, out)
    return found


def _add(found: dict[str, list[Trajectory]], run: Path) -> None:
    for each in sorted(read_run(run).trajectories, key=lambda each: each.sample):
        found.get(each.task.id, []).append(each)


@cache
def _prompts() -> TextEnvironment:
    return build(resolve("prompts"))


def _task(question: Question) -> Task:
    """A question as a task; workers never see the gold."""
    instruction = [{"role": each.role, "content": each.content} for each in question.instruction]
    data = {"instruction": instruction, "turns": list(question.turns)}
    fingerprint = _prompts().fingerprint(data)
    return Task("prompts", f"{question.id}:{fingerprint}", "test", data, fingerprint)


def _key(question: Question) -> str:
    """Its task's id: the question's, and a hash of what is asked, so a changed question is another one."""
    return _task(question).id


def _cut(trajectory: Trajectory) -> bool:
    """Whether a limit ended an attempt, or one of its replies."""
    stopped = any(turn.reply.finish_reason == "length" for turn in trajectory.turns)
    return stopped or trajectory.status == "truncated"
