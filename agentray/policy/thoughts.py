"""Thoughts in the text of a reply, where the server leaves them in: they are no part of the answer."""

from __future__ import annotations

import re

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reasoning|reflection)"
_BLOCK = re.compile(
    rf"<({_NAMES})>(.*?)(?:</\1>|\Z)"  # DeepSeek-R1, Qwen3, GLM, MiniMax, Seed
    r"|\[THINK\](.*?)(?:\[/THINK\]|\Z)"  # Magistral
    r"|◁think▷(.*?)(?:◁/think▷|\Z)"  # Kimi
    r"|<\|channel\|>analysis<\|message\|>(.*?)(?:<\|end\|>|<\|start\|>assistant|\Z)",  # gpt-oss
    re.DOTALL,
)
_END = re.compile(rf"\A(.*)(?:</{_NAMES}>|\[/THINK\]|◁/think▷)", re.DOTALL)
"""Everything up to the last end of a thought: a template may have begun it in the prompt."""
_FINAL = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>|<\|return\|>")


def split(text: str) -> tuple[str, str | None]:
    """The answer in a reply's text, and the thoughts in it; None where there are none."""
    if "<" not in text and "[" not in text and "◁" not in text:
        return text, None
    thoughts: list[str] = []

    def take(match: re.Match[str]) -> str:
        thoughts.append(next((each for each in match.groups()[1:] if each is not None), ""))
        return ""

    answer = _BLOCK.sub(take, text)
    if (begun := _END.match(answer)) is not None:
        thoughts.insert(0, begun[1])
        answer = answer[begun.end() :]
    if not thoughts:
        return text, None
    if "<|channel|>" in answer:
        answer = _FINAL.sub("", answer)
    return answer.strip(), "\n".join(each.strip() for each in thoughts if each.strip())


def answer_of(text: str) -> str:
    """A reply's text without the thoughts in it: what an environment may look for an action in."""
    return split(text)[0]
