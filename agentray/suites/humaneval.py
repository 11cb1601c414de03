"""HumanEval: complete a Python function; what runs is tested in a sandbox, and pass@k counts.

A reply may be the whole function or only its body, in a code block or bare. The program that is run is the
problem's prompt and the reply, then the hidden tests (Chen et al. 2021, arXiv:2107.03374).
"""

from __future__ import annotations

import ast
import asyncio
import re
import secrets
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from agentray import sandbox
from agentray.config import SuiteConfig
from agentray.data.runs import pass_at_k
from agentray.errors import ResourceError
from agentray.formats.reasons import short
from agentray.suites.benchmark import Answer, Ask, Benchmark, Grades, Question, QuestionSet, usable
from agentray.suites.reading import records
from agentray.types import Message

_SYSTEM = "You are a programmer who writes correct, plain Python."
_ASK = (
    "Complete this Python function. Answer with the finished function in one code block."
    "\n\n```python\n{prompt}```"
)
_BLOCK = re.compile(
    r"(?<![^\s:])(```+|~~~+)(?P<label>[^`\n]*)\n(?P<code>.*?)(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE
)
_PYTHON_LABEL = re.compile(r"\s*$|[\s{.]*(?:python|py)[\d.]*(?![\w-])", re.IGNORECASE)
"""Of a code block that is Python, or has no label; not of a session, `pycon` or `python-repl`."""
_CARRIED = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
"""What earlier code blocks give to the one with the function; calls in them may be examples."""
_PYTHON = ("python3", "-I")
"""The system's, because a sandbox shows nothing of a virtual environment."""
_FIELDS = ("prompt", "entry_point", "test")
_LIMITS = sandbox.Limits(wall_s=20, cpu_s=10)
_AT_ONCE = 2
"""Programs that run at the same time."""


class HumanEval(Benchmark):
    """Functions to write, with tests that the model does not see."""

    name: ClassVar[str] = "humaneval"
    files: ClassVar[str | None] = "*.jsonl or *.jsonl.gz"

    def __init__(self, samples: int = 1, temperature: float = 0.2) -> None:
        self.samples = samples
        self._temperature = temperature if samples > 1 else 0.0

    @classmethod
    def from_settings(cls, config: SuiteConfig, judge: Ask | None) -> Self:
        """Problems with as many answers as the settings ask for."""
        return cls(config.samples, config.temperature)

    def skipped(self) -> str | None:
        """A machine without a sandbox does not run what a model wrote."""
        return sandbox_missing()

    def questions(self, directory: Path, seed: int) -> QuestionSet:
        """One conversation per problem."""
        rows = records(directory, "humaneval", ("task_id", *_FIELDS), "*.jsonl", "*.jsonl.gz")
        reasons = {place: reason for place, row in rows.items() if (reason := _reason(row)) is not None}
        found = [
            Question(
                id=str(row.get("task_id", place)),
                turns=(_ASK.format(prompt=row["prompt"]),),
                instruction=(Message("system", _SYSTEM),),
                temperature=self._temperature,
                gold={each: row[each] for each in _FIELDS},
            )
            for place, row in rows.items()
            if place not in reasons
        ]
        excluded = [f"{place}: {reason}" for place, reason in reasons.items()]
        return usable(self.name, found, excluded)

    def grade(self, answers: Sequence[Answer]) -> Grades:
        """100 times the share of a problem's attempts that pass its tests: its estimate of pass@1."""
        passed = asyncio.run(_passed(answers))
        least = min(len(each) for each in passed)
        powers = [2**power for power in range(least.bit_length())]
        pass_at = {
            str(k): 100 * sum(pass_at_k(sum(each), len(each), k) for each in passed) / len(passed)
            for k in powers
        }
        return Grades([100 * sum(each) / len(each) for each in passed], {"pass_at_k": pass_at})


def _reason(row: Mapping[str, Any]) -> str | None:
    """Why a problem cannot be asked; None when it can."""
    if not all(isinstance(row.get(each), str) and row[each].strip() for each in _FIELDS):
        return "its prompt, entry_point or test is not text"
    if not row["entry_point"].isidentifier():
        return f"its entry_point is {short(row['entry_point'])}, not the name of a function"
    name = row.get("task_id", 0)
    if type(name) not in (int, str) or name == "":
        return f"its task_id is {short(name)}, neither text nor a whole number"
    return None


def sandbox_missing() -> str | None:
    """Why no program can be run here, and what to install; None where a sandbox with Python works."""
    try:
        result = asyncio.run(sandbox.run([*_PYTHON, "-c", ""]))
    except ResourceError as error:
        return f"{error.what}: {error.why}; {error.fix}"
    if result.exit_code != 0:
        return f"the sandbox has no Python below /usr: {result.stderr.strip()[:200]}; apt-get install python3"
    return None


def completed(prompt: str, entry_point: str, reply: str) -> str:
    """The program that a reply makes of a problem's prompt.

    The code is what stands in the reply's Python blocks, or the whole reply. Where the last of them to define
    the function does so, it follows the prompt's own lines before the function (imports, helpers), and the
    imports and definitions of the blocks before it; else it is taken for the body.
    """
    blocks = _python_blocks(reply.replace("\r\n", "\n"))
    whole = [index for index, each in enumerate(blocks) if _defines(each, entry_point)]
    if whole:
        head = prompt.split(f"def {entry_point}(")[0]
        return "\n".join([head, *map(_carried, blocks[: whole[-1]]), blocks[whole[-1]], ""])
    code = "\n".join(blocks)
    body = code if re.match(r"[ \t]", code.lstrip("\n")) else textwrap.indent(code, "    ")
    return prompt + body.lstrip("\n") + "\n"


def _python_blocks(reply: str) -> list[str]:
    """Code of the blocks that may be Python, else of all blocks, else the whole reply."""
    found = list(_BLOCK.finditer(reply))
    python = [each for each in found if _PYTHON_LABEL.match(each["label"])]
    return [each["code"].rstrip().removesuffix(each[1]).rstrip() for each in python or found] or [reply]


def _carried(code: str) -> str:
    """Imports and definitions of code; nothing of code that does not parse."""
    tree = _parsed(code)
    kept = [each for each in tree.body if isinstance(each, _CARRIED)] if tree else []
    return "\n".join(map(ast.unparse, kept))


async def passes(program: str, gold: Mapping[str, Any]) -> bool:
    """Whether a program passes its hidden tests, run in the sandbox.

    The program counts only if a word comes out at its end that it cannot know: code that exits early has not
    passed, whatever its exit status.
    """
    word = secrets.token_hex(16)
    checks = f"{gold['test']}\n\ncheck({gold['entry_point']})\nprint({word!r})\n"
    files = {"program.py": f"{program}\n\n{checks}"}
    result = await sandbox.run([*_PYTHON, "program.py"], files=files, limits=_LIMITS)
    return result.exit_code == 0 and result.stdout.rstrip().endswith(word)


async def _passed(answers: Sequence[Answer]) -> list[list[bool]]:
    """By problem and attempt, whether it passed; an attempt without a reply did not."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def attempt(gold: Mapping[str, Any], reply: str) -> bool:
        async with places:
            return await passes(completed(gold["prompt"], gold["entry_point"], reply), gold)

    async def problem(answer: Answer) -> list[bool]:
        gold = answer.question.gold
        tries = (attempt(gold, replies[0] if replies else "") for replies in answer.replies)
        return list(await asyncio.gather(*tries))

    return list(await asyncio.gather(*(problem(answer) for answer in answers)))


def _defines(code: str, name: str) -> bool:
    """Whether code defines a function at its top level; code that does not parse is searched as text."""
    tree = _parsed(code)
    if tree is None:
        return re.search(rf"^def {re.escape(name)}\(", code, flags=re.MULTILINE) is not None
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


def _parsed(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
