"""A model's chat template: renders conversations, and says what it cannot.

Templates differ in all that one would assume: a system role, turns that must alternate, what ends a reply, a
date. What a template does is found by rendering probes, never by its name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, Protocol

from agentray.chat.tokens import Tokens
from agentray.config import TemplateConfig
from agentray.errors import DataError, UsageError, closest
from agentray.types import Message

Tools = Sequence[Mapping[str, Any]]
_BETWEEN = "\n\n"
"""Between two texts that become one message."""
_PROBE = "qzprobe"
"""A text that no template treats in a special way."""

_CALL = {"name": _PROBE, "arguments": {"a": "b"}}
_CALL_ID = "call00001"
"""Nine letters and digits, as Mistral's templates want it."""


class Tokenizer(Protocol):
    """What is needed of a `transformers` tokenizer, besides its `tokenizers` backend."""

    chat_template: str | dict[str, str] | None

    def apply_chat_template(self, conversation: list[dict[str, Any]], **kwargs: Any) -> Any:
        """Render messages as text (`tokenize=False`)."""

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Ids to text."""


class TemplateError(DataError):
    """The chat template does not take a conversation, or does not show which of its text is a reply."""

    reason = "refused_by_template"
    """One word for counting."""


class Template:
    """Renders conversations as the model expects them.

    Args:
        tokenizer: A `transformers` tokenizer with a chat template.
        config: Which template, its variables and its date.

    Raises:
        UsageError: There is no such template, or the tokenizer gives no character offsets.
    """

    def __init__(self, tokenizer: Tokenizer, config: TemplateConfig | None = None) -> None:
        self.config = config or TemplateConfig()
        self.tokenizer = tokenizer
        self.tokens = Tokens(tokenizer)
        date = datetime.combine(self.config.date, datetime.min.time())
        self._variables: dict[str, Any] = {"strftime_now": date.strftime, **self.config.variables}
        self.chosen = _chosen(tokenizer, self.config.name)
        """The template's text; None is the tokenizer's default."""

    def render(self, messages: Sequence[Message], tools: Tools = (), *, opened: bool) -> str:
        """Messages as text; `opened` adds the opening of the next reply.

        Raises:
            TemplateError: The template refuses them; `why` has its own words.
        """
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [self._plain(each, self.calls_as) for each in messages],
                    tools=[dict(each) for each in tools] or None,
                    chat_template=self.chosen,
                    add_generation_prompt=opened,
                    tokenize=False,
                    **self._variables,
                )
            )
        except Exception as error:  # a template is a program: it raises what it likes
            raise TemplateError(
                "the chat template refuses a conversation",
                " ".join(str(error).split()) or type(error).__name__,
                "correct the record, or give another template: --set mix.template.name=NAME|FILE.jinja",
            ) from error

    def adapted(self, messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[str, ...]]:
        """Messages as this template takes them, and the rules that made them so.

        `system_folded`: the system text opens the first user turn, where there is no system role.
        `turns_merged`: turns of one role in a row become one, where roles must alternate.

        Raises:
            TemplateError: Replies that a policy sampled, or with and without loss, would have to be merged.
        """
        found, rules = [self.tokens.shielded(each) for each in messages], []
        if found and found[0].role == "system" and self.folds_system:
            system, *found = found
            if not found or found[0].role != "user":
                found.insert(0, Message("user", ""))
            joined = _BETWEEN.join(text for text in (system.content, found[0].content) if text)
            found[0] = replace(found[0], content=joined)
            rules.append("system_folded")
        if self.merges_turns and any(_same_side(a, b) for a, b in pairwise(found)):
            found = _merged(found)
            rules.append("turns_merged")
        return tuple(found), tuple(rules)

    def missing(self, text: str, messages: Sequence[Message], tools: Tools = ()) -> str | None:
        """What of a conversation a rendered text does not show, if anything; thoughts may be hidden."""
        for index, message in enumerate(messages):
            hides = message.role == "assistant" and "</think>" in message.content
            shown = message.content.rpartition("</think>")[2] if hides else message.content
            if not _shows(text, shown.strip()):
                return f"the {message.role} text of message {index}"
            for call in message.tool_calls:
                values = [str(call["function"]["name"]), *call["function"]["arguments"].values()]
                if any(isinstance(value, str) and not _shows(text, value) for value in values):
                    return f"the call in message {index}"
        lost = (each for each in tools if str(each["function"]["name"]) not in text)
        return next((f"the tool {each['function']['name']!r}" for each in lost), None)

    @cached_property
    def folds_system(self) -> bool:
        """Whether the template has no system role: it refuses one, or leaves its text out."""
        try:
            return _PROBE not in self.render([Message("system", _PROBE), Message("user", "a")], opened=True)
        except TemplateError:
            return True

    @cached_property
    def takes_parts(self) -> bool:
        """Whether the template reads lists of parts, as vision models do: vLLM then gives it such."""
        parts = [{"type": "text", "text": _PROBE}]
        shown = self._attempt([{"role": "user", "content": parts}]) or ""
        return _PROBE in shown and "'type'" not in shown and '"type"' not in shown

    @cached_property
    def calls_as(self) -> tuple[bool, bool]:
        """How calls must be given to be shown: whether without text, not an empty one; whether as JSON."""
        calling = Message(
            "assistant", "", tool_calls=({"type": "function", "id": _CALL_ID, "function": _CALL},)
        )
        for form in ((False, False), (True, False), (False, True), (True, True)):
            text = self._attempt([self._plain(each, form) for each in (Message("user", "a"), calling)])
            if text is not None and _PROBE in text:
                return form
        return False, False

    def _attempt(self, plain: list[dict[str, Any]]) -> str | None:
        """A conversation as text; None where the template refuses it."""
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    plain, chat_template=self.chosen, tokenize=False, **self._variables
                )
            )
        except Exception:  # a template is a program: it raises what it likes
            return None

    def _plain(self, message: Message, calls_as: tuple[bool, bool]) -> dict[str, Any]:
        """A message as the template takes it."""
        plain: dict[str, Any] = {"role": message.role, "content": message.content}
        if self.takes_parts:
            plain["content"] = [{"type": "text", "text": message.content}]
        if message.reasoning is not None:
            # Templates read one of these names each.
            plain |= dict.fromkeys(("reasoning_content", "reasoning", "thinking"), message.reasoning)
        if message.tool_calls:
            without_text, as_json = calls_as
            if without_text and not message.content:
                plain["content"] = None
            plain["tool_calls"] = [_call(each, as_json=as_json) for each in message.tool_calls]
        if message.name is not None:
            plain["name"] = message.name
        if message.tool_call_id is not None:
            plain["tool_call_id"] = message.tool_call_id
        return plain

    @cached_property
    def merges_turns(self) -> bool:
        """Whether the template refuses two turns of one role in a row."""
        asked = [Message("user", "a"), Message("user", "b")]
        try:
            self.render([*asked, Message("assistant", "c")], opened=False)
        except TemplateError:
            return True
        return False

    @cached_property
    def end(self) -> str:
        """What ends a reply, e.g. `<|im_end|>`: all that the template writes there before a blank.

        Where it writes nothing there, what opens the next turn ends the reply (GLM).

        Raises:
            TemplateError: Nothing does.
        """
        mine, theirs = (list(self._marks(text)) for text in self._after_reply)
        shared = [a for a, b in takewhile(lambda pair: pair[0] == pair[1], zip(mine, theirs, strict=False))]
        found = "".join(shared or mine or theirs[:1])
        if not found:
            raise TemplateError(
                "the chat template does not end replies",
                f"after a reply it writes {self._after_reply[1][:40]!r}",
                "give a template that ends every reply with a token: --set mix.template.name=FILE.jinja",
            )
        return found

    def opening_after(self, text: str) -> str:
        """What ends a reply in a text that goes on with the next turn, where only its opening does."""
        return next(self._marks(text), self.end)

    @cached_property
    def lends_end(self) -> bool:
        """Whether only the opening of the next turn ends a reply."""
        return not any(self._marks(self._after_reply[0]))

    @property
    def end_ids(self) -> list[int]:
        """The control token that ends a turn, as a list of one; empty where the end is plain text."""
        last = self.tokens.encode(self.end).ids[-1:]
        return last if self.tokens.is_control(last[0]) else []

    @cached_property
    def closing(self) -> str:
        """What the template writes after the end of the last reply, and of no other."""
        last, _ = self._after_reply
        return last.partition(self.end)[2] if self.end in last else last

    def ending(self, text: str) -> str:
        """What ends a reply in the text that follows it; empty where nothing does."""
        found = "".join(self._marks(text))
        return self.end if found.startswith(self.end) or text.lstrip().startswith(self.end) else found

    @cached_property
    def _after_reply(self) -> tuple[str, str]:
        """What follows a reply that is the last message, and one that a user message follows."""
        asked = [Message("user", "a"), Message("assistant", _PROBE)]
        last = self.render(asked, opened=False)
        try:
            followed = self.render([*asked, Message("user", "b")], opened=False)
        except TemplateError:
            followed = last
        return last.rpartition(_PROBE)[2], followed.rpartition(_PROBE)[2]

    def _marks(self, text: str) -> Iterator[str]:
        """The control tokens at the start of a text, up to a blank; or what looks like one."""
        text = text.lstrip()
        while found := self.tokens.control.match(text) if self.tokens.control else None:
            yield found.group()
            text = text[found.end() :]
            if text[:1].isspace():
                return
        written = re.match(r"<[^<>\s]{1,40}>|\[/?[A-Z_]{2,40}\]", text)
        if written:  # a template's mark that the tokenizer spells in several tokens
            yield written.group()


def _chosen(tokenizer: Tokenizer, name: str | None) -> str | None:
    """The text of a template to use, by its name or file; None leaves the choice to `transformers`.

    Raises:
        UsageError: There is none of that name, or several and none was named.
    """
    known = tokenizer.chat_template
    named = known if isinstance(known, dict) else {}
    if name is None:
        if known is None or (named and "default" not in named):
            raise UsageError(
                f"the tokenizer has no {'default ' if named else ''}chat template",
                f"it has some named {', '.join(sorted(named))}"
                if named
                else "conversations cannot be rendered without one",
                "--set mix.template.name=NAME|FILE.jinja, or use an instruction-tuned model",
            )
        return None
    if name in named:
        return named[name]
    path = Path(name).expanduser()
    if path.is_file():
        return path.read_text(encoding="utf-8")
    raise UsageError(
        f"no chat template {name!r}",
        f"no such file; {closest(name, named)}",
        "--set mix.template.name=NAME|FILE.jinja",
    )


def _call(call: Mapping[str, Any], *, as_json: bool) -> dict[str, Any]:
    function = dict(call["function"])
    if as_json:
        function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
    return {**call, "function": function}


def _shows(text: str, part: str) -> bool:
    """Whether a text has another in it, plain or as JSON."""
    return part in text or json.dumps(part, ensure_ascii=False)[1:-1] in text


def _same_side(first: Message, second: Message) -> bool:
    return first.role == second.role != "tool"


def _merged(messages: Sequence[Message]) -> list[Message]:
    """Messages with neighbours of one role joined."""
    found = list(messages[:1])
    for message in messages[1:]:
        before = found[-1]
        if not _same_side(before, message):
            found.append(message)
            continue
        apart = before.loss != message.loss or before.reasoning or message.reasoning
        if apart or before.token_ids or message.token_ids or before.tool_calls or message.tool_calls:
            raise TemplateError(
                "two replies in a row cannot become one",
                "turns must alternate, and these have thoughts, calls, sampled ids, or loss on one alone",
                "merge them in the record",
            )
        found[-1] = replace(before, content=before.content + _BETWEEN + message.content)
    return found
