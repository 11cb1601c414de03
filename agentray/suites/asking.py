"""Asks questions by rollouts: journal, resumption, retries and deadlines are the rollout stage's.

Questions go to a file, the environment `prompts` asks them, and the stored trajectories are the answers.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from agentray.config import RolloutConfig
from agentray.data.store import read_run
from agentray.rollout.run import run as rollout
from agentray.suites.benchmark import Answer, Question
from agentray.types import Progress, Trajectory, silent

_SPLIT = "test"


def ask(
    questions: Sequence[Question],
    how: RolloutConfig,
    *,
    num_tasks: int | None = None,
    progress: Progress = silent,
) -> tuple[list[Answer], list[str]]:
    """Answers to the first `num_tasks` questions, and why others were lost.

    Args:
        questions: All of a benchmark, so that a later run may ask more of them.
        how: Who is asked and how; `out` is where the answers go, a run for each temperature.
        num_tasks: How many to ask; None asks all.
        progress: Told how far it is.

    Returns:
        Answers in the order of the questions; and the errors of those of which all attempts were lost.
    """
    wanted = list(questions[:num_tasks])
    groups: dict[float, list[Question]] = defaultdict(list)
    for each in questions:
        groups[each.temperature].append(each)
    attempts: dict[str, list[Trajectory]] = defaultdict(list)
    for temperature, group in groups.items():
        num_wanted = sum(each.temperature == temperature for each in wanted)
        if num_wanted:
            for made in _run(group, temperature, how, num_wanted, progress):
                attempts[made.task.id.removeprefix(f"{_SPLIT}/")].append(made)
    answers, errors = [], []
    for question in wanted:
        tries = sorted(attempts[question.id], key=lambda each: each.sample)
        kept = [each for each in tries if each.status != "failed"]
        if kept:
            replies = tuple(tuple(turn.reply.text for turn in each.turns) for each in kept)
            answers.append(Answer(question, replies, truncated=any(map(_cut, kept))))
        else:
            errors.append(f"{question.id}: {tries[0].error if tries else 'it was not asked'}")
    return answers, errors


def _run(
    questions: Sequence[Question], temperature: float, how: RolloutConfig, num_tasks: int, progress: Progress
) -> list[Trajectory]:
    """One rollout over questions of equal temperature."""
    out = how.out / f"answers-{temperature:g}"
    file = how.out / f"questions-{temperature:g}.jsonl"
    how.out.mkdir(parents=True, exist_ok=True)
    write_questions(file, questions)
    changes = {
        "out": out,
        "envs": ["prompts"],
        "env": {"prompts": {"data": str(file)}},
        "split": _SPLIT,
        "num_tasks": num_tasks,
        "sampling": how.sampling.model_copy(update={"temperature": temperature}),
        "retry_failed": True,
    }
    rollout(how.model_copy(update=changes), progress)
    asked = {f"{_SPLIT}/{each.id}" for each in questions}
    return [each for each in read_run(out).trajectories if each.task.id in asked]


def _cut(trajectory: Trajectory) -> bool:
    """Whether a limit ended an attempt, or one of its replies."""
    stopped = any(turn.reply.finish_reason == "length" for turn in trajectory.turns)
    return stopped or trajectory.status == "truncated"


def write_questions(file: Path, questions: Sequence[Question]) -> None:
    """Write questions as the environment `prompts` reads them; gold stays out of what workers see."""
    lines = []
    for each in questions:
        instruction = [{"role": message.role, "content": message.content} for message in each.instruction]
        row = {"id": each.id, "split": _SPLIT, "instruction": instruction, "turns": list(each.turns)}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    file.write_text("".join(lines), encoding="utf-8")
