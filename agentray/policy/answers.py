"""From the body of a chat completion to a reply: only what the model said, and said to its end, is one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple, TypeGuard

from agentray.errors import ReplyError
from agentray.policy import thoughts
from agentray.types import Reply, Source, Usage

Reasoning = Literal["drop", "keep", "answer"]
ToolCalls = Literal["fail", "text"]
FINISHED: Mapping[str | None, Literal["stop", "length"]] = {
    None: "stop",  # some servers never say
    "": "stop",
    "stop": "stop",  # OpenAI, vLLM, SGLang, llama.cpp, Ollama
    "eos": "stop",
    "eos_token": "stop",  # TGI, Together
    "stop_token": "stop",
    "stop_sequence": "stop",  # TGI, Anthropic
    "stop_str": "stop",
    "end_turn": "stop",  # Anthropic
    "end": "stop",
    "done": "stop",
    "complete": "stop",  # Cohere
    "completed": "stop",
    "finished": "stop",
    "finish_reason_stop": "stop",
    "length": "length",  # OpenAI and all that follow it
    "max_tokens": "length",  # Anthropic, Gemini, Cohere
    "max_length": "length",
    "model_length": "length",  # Mistral
    "token_limit": "length",
    "max_output_tokens": "length",
    "finish_reason_max_tokens": "length",
}
"""Finish reasons, in small letters, that come with a reply of the model. With any other (`error`, `abort`,
`content_filter`, `safety`, ...) what came is not a reply."""
_CALLING = frozenset({"tool_calls", "tool_call", "tool_use", "function_call"})
_MOST_TOKENS = 2**31 - 1
"""A record's integers are no longer."""
_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought")
"""Where servers put what the model thought: DeepSeek, vLLM, SGLang; OpenRouter, Groq, newer vLLM; others."""


class Reading(NamedTuple):
    """How replies are read."""

    shown: str
    """The endpoint, for people."""
    reasoning: Reasoning = "drop"
    tool_calls: ToolCalls = "fail"


def read_reply(
    how: Reading, document: Mapping[str, Any], latency_s: float, source: Source | None
) -> Reply | None:
    """What a completion says; None where the document is not a completion.

    Raises:
        ReplyError: The model said nothing, or was cut off by something that is not its own limit.
    """
    try:
        choice = document["choices"][0]
        message, reason = choice["message"], choice.get("finish_reason")
        text = message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    finish = FINISHED.get(reason) if reason is None or isinstance(reason, str) else None
    thought: str | None = None
    if type(text) is not str or finish is None or len(message) > 2:
        text, finish, thought = _unusual(how, message, reason, text)
    if "<" in text or "[" in text or "◁" in text:
        text, inline = thoughts.split(text)
        thought = thought or inline
        if inline is not None and not text and finish == "stop":
            text = _thoughts_only(how, inline)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # JSON can escape half a surrogate pair; no file can
    return Reply(
        text=text,
        usage=_usage(document.get("usage")),
        finish_reason=finish,
        latency_s=latency_s,
        reasoning=thought.encode("utf-8", "replace").decode()
        if thought and how.reasoning == "keep"
        else None,
        source=source,
    )


def error_in(document: Mapping[str, Any]) -> object:
    """What went wrong, in an answer whose status says that all is well; None where nothing did."""
    found = document.get("error")
    if found:
        return found
    choices = document.get("choices")
    if choices and isinstance(choices, list):
        return choices[0].get("error") if isinstance(choices[0], dict) else None
    return document if any(document.get(name) for name in ("message", "msg", "detail", "code")) else None


def _unusual(
    how: Reading, message: Mapping[str, Any], reason: object, content: object
) -> tuple[str, Literal["stop", "length"], str | None]:
    """Text, end and thoughts of a reply that is more, or less, than a text that ended."""
    text, thought = _joined(content)
    thought = next((each for name in _THOUGHTS if (each := _joined(message.get(name))[0])), thought)
    calls = _calls(message)
    word = reason.lower() if isinstance(reason, str) else reason
    if calls or word in _CALLING:
        if how.tool_calls == "fail" or not calls:
            raise ReplyError(
                f"{how.shown} sent a tool call instead of a text",
                f"finish reason {reason!r}, {len(calls)} calls, and no tool was offered",
                "turn its tool parser off, or give --set rollout.tool_calls=text to use the call as text",
            )
        return "\n".join([text, *calls] if text else calls), "stop", thought
    finish = FINISHED.get(word) if word is None or isinstance(word, str) else None
    if finish is None:
        raise ReplyError(
            f"{how.shown} did not finish a reply",
            f"finish reason {reason!r}",
            "see the endpoint's log; --retry-failed makes the attempt again",
        )
    if not text and isinstance(refusal := message.get("refusal"), str) and refusal:
        text = refusal  # the model's own words
    if content is None or (not text and thought):
        if thought and finish == "length":  # it thought until its limit: nothing was answered
            return text, finish, thought
        if not text:
            text = _thoughts_only(how, thought) if thought else _nothing(how, reason)
    return text, finish, thought


def _thoughts_only(how: Reading, thought: str) -> str:
    """The text of a reply that holds only thoughts.

    Raises:
        ReplyError: They are not to be used as one.
    """
    if how.reasoning == "answer":
        return thought
    raise ReplyError(
        f"{how.shown} sent thoughts and no answer",
        "the text of the reply is empty",
        "turn its reasoning parser off, or give --set rollout.reasoning=answer to use the thoughts",
    )


def _nothing(how: Reading, reason: object) -> str:
    raise ReplyError(
        f"{how.shown} sent a reply without content", f"content null, finish reason {reason!r}", "ask again"
    )


def _joined(content: object) -> tuple[str, str | None]:
    """Text, and thoughts, of a content: a string or a list of parts.

    Raises:
        ReplyError: It is something else.
    """
    if content is None:
        return "", None
    if isinstance(content, str):
        return content, None
    parts = content if isinstance(content, list) else [content]
    texts: list[str] = []
    thought: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, Mapping):
            raise ReplyError("a reply is not text", f"its content holds {type(part).__name__}", "ask again")
        kind = str(part.get("type", "text"))
        value = next(
            (part[name] for name in ("text", "content", "thinking", "reasoning") if part.get(name)), ""
        )
        inner = value if isinstance(value, str) else _joined(value)[0]
        if kind.startswith(("think", "reason", "redacted")):
            thought.append(inner)
        elif kind in ("text", "output_text", "refusal"):
            texts.append(inner or str(part.get("refusal", "")))
        else:
            raise ReplyError("a reply is not text", f"its content holds a part of type {kind!r}", "ask again")
    return "".join(texts), "".join(thought) or None


def _calls(message: Mapping[str, Any]) -> list[str]:
    """Tool calls, a JSON text each: `{"name": ..., "arguments": ...}`."""
    calls = message.get("tool_calls") or (
        [{"function": message["function_call"]}] if message.get("function_call") else []
    )
    found = []
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            arguments = function.get("arguments")
            if isinstance(arguments, str):
                with suppress(ValueError):
                    arguments = json.loads(arguments)
            found.append(
                json.dumps({"name": function.get("name"), "arguments": arguments}, ensure_ascii=False)
            )
    return found


def _usage(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return Usage(prompt, completion) if _is_count(prompt) and _is_count(completion) else None


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 0 <= value <= _MOST_TOKENS
