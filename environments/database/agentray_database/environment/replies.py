"""AgentBench's reply syntax: a thought, then `Action: Operation` with one SQL block, or `Action: Answer`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

INSTRUCTION = """\
You operate a MySQL database with one table whose columns are all text. Each reply is one short thought and \
then one action. To run one SQL statement, written on one line:
Action: Operation
```sql
SELECT ...
```
You then see its raw result. To finish:
Action: Answer
Final Answer: ["..."]
List the exact values asked for; after a modification any answer will do. A reply without an action ends \
the task."""

_ACTION = re.compile(r"Action:[ \t]*(.*?)[ \t]*(?:\r?\n|$)")
_BLOCK = re.compile(r"```(?:sql)?[ \t]*\r?\n?(.*?)```", re.DOTALL | re.IGNORECASE)
_ANSWER = re.compile(r"Final Answer:(.*)")


def operation(reply: str) -> str | None:
    """The statement a reply runs; None when its first action is not an operation with a SQL block."""
    action, block = _ACTION.search(reply), _BLOCK.search(reply)
    if action is None or action.group(1) != "Operation" or block is None:
        return None
    return " ".join(block.group(1).strip().splitlines())


def final_answer(reply: str) -> str:
    """What follows `Final Answer:`, whatever the action; empty when nothing does."""
    match = _ANSWER.search(reply)
    return match.group(1).strip() if match else ""


def parse(reply: str) -> str | None:
    """The statement a reply runs, or its `Final Answer: ...` line; None when it holds no valid action."""
    statement = operation(reply)
    if statement is not None:
        return statement
    action = _ACTION.search(reply)
    if action is None or action.group(1) != "Answer" or _ANSWER.search(reply) is None:
        return None
    return f"Final Answer: {final_answer(reply)}"


def operate(thought: str, sql: str) -> str:
    """A reply that runs a statement."""
    return f"{thought}\nAction: Operation\n```sql\n{sql}\n```"


def answer(thought: str, values: Sequence[str]) -> str:
    """A reply that ends the episode."""
    return f"{thought}\nAction: Answer\nFinal Answer: {json.dumps(list(values), ensure_ascii=False)}"
