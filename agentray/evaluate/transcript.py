"""Trajectories to read: what the model saw, what it answered, how it ended, side by side.

Model output is hostile input; every string is escaped before it meets a tag, and nothing on the page runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentray.evaluate.markup import clean
from agentray.types import Message

_LONG_CHARACTERS, _LONG_LINES = 700, 14
_PREVIEW_CHARACTERS = 150
_SHOWN_FIRST, _SHOWN_LAST = 12, 6
"""Of a conversation longer than these together and two more, the middle is folded."""

_SPEAKERS = {"system": "Instruction", "user": "Environment", "assistant": "Agent"}
_LABEL = re.compile(
    r"^([ \t]*)(thought|think|action|act|final answer|answer|finish|operation)(?=\s*:)", re.IGNORECASE | re.M
)


@dataclass(frozen=True)
class Example:
    """One trajectory to show."""

    env: str
    title: str
    won: bool
    task: str
    messages: Sequence[Message]


def pairs(examples: Sequence[Example]) -> str:
    """All examples, grouped by environment in the order they come, won ones on the left."""
    parts = []
    for env in dict.fromkeys(example.env for example in examples):
        shown = sorted((example for example in examples if example.env == env), key=lambda e: not e.won)
        columns = "".join(_column(example) for example in shown)
        parts.append(f'<h3>{clean(env)}</h3><div class="pair">{columns}</div>')
    return "".join(parts)


def _column(example: Example) -> str:
    verdict = "won" if example.won else "lost"
    prompt, turns = _split(example.messages)
    if turns and turns[0].content.strip() == example.task.strip():
        turns = turns[1:]
    num_replies = sum(message.role == "assistant" for message in turns)
    replies = "1 reply" if num_replies == 1 else f"{num_replies} replies"
    return (
        f'<article class="trajectory {verdict}"><header><p class="verdict">{verdict.capitalize()}'
        f" <small>{replies}</small></p><h4>{clean(example.title)}</h4>"
        f'<p class="task">{clean(example.task)}</p></header>{_prompt(prompt)}'
        f"<ol>{_turns(turns)}</ol></article>"
    )


def _split(messages: Sequence[Message]) -> tuple[Sequence[Message], Sequence[Message]]:
    """Instruction and demonstration, which carry no loss, apart from the attempt itself.

    The attempt starts at the message before the first reply with loss; without any loss flag nothing is split
    off.
    """
    first = next((i for i, m in enumerate(messages) if m.role == "assistant" and m.loss), None)
    start = 0 if first is None else max(0, first - 1)
    return messages[:start], messages[start:]


def _prompt(messages: Sequence[Message]) -> str:
    if not messages:
        return ""
    items = "".join(_message(message, None) for message in messages)
    noun = "message" if len(messages) == 1 else "messages"
    return (
        f'<details class="fold"><summary>Instruction given first, {len(messages)} {noun}</summary>'
        f"<ol>{items}</ol></details>"
    )


def _turns(messages: Sequence[Message]) -> str:
    items, number = [], 0
    for message in messages:
        number += message.role == "assistant"
        items.append(_message(message, number if message.role == "assistant" else None))
    if len(items) <= _SHOWN_FIRST + _SHOWN_LAST + 2:
        return "".join(items)
    hidden = items[_SHOWN_FIRST:-_SHOWN_LAST]
    fold = (
        f'<li><details class="fold"><summary>{len(hidden)} messages in between</summary>'
        f"<ol>{''.join(hidden)}</ol></details></li>"
    )
    return "".join([*items[:_SHOWN_FIRST], fold, *items[-_SHOWN_LAST:]])


def _message(message: Message, number: int | None) -> str:
    speaker = _SPEAKERS[message.role] + (f" · turn {number}" if number is not None else "")
    return (
        f'<li class="message {message.role}"><p class="speaker">{speaker}</p>'
        f"{_body(message.content, marked=message.role == 'assistant')}</li>"
    )


def _body(content: str, *, marked: bool) -> str:
    text = content.strip()
    if not text:
        return '<p class="empty">(empty)</p>'
    body = clean(text)
    if marked:
        body = _LABEL.sub(r"\1<b>\2</b>", body)
    if len(text) <= _LONG_CHARACTERS and text.count("\n") < _LONG_LINES:
        return f"<pre>{body}</pre>"
    preview = clean(" ".join(text[: _PREVIEW_CHARACTERS * 2].split())[:_PREVIEW_CHARACTERS])
    return (
        f'<details class="long"><summary><span class="preview">{preview}…</span> '
        f'<span class="length">{len(text):,} characters</span></summary><pre>{body}</pre></details>'
    )
