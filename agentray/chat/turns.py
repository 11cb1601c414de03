"""Where replies stand in a rendered conversation, and what a model is shown before each.

A reply is learnt in the context in which inference shows it. Where history only grows that is one text for
the whole conversation; where a template rewrites history (it hides earlier thoughts, say) it is one text per
reply. A reply that a policy sampled keeps the very ids it sampled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from agentray.chat.template import Template, TemplateError, Tools
from agentray.types import Message

_SENTINEL = "qzreplyqz"
_MARKED = re.compile(r"<[^<>\s]{1,40}>$")


@dataclass(frozen=True, slots=True)
class Span:
    """A reply in a rendered text, with what ends it."""

    message: int
    start: int
    end: int
    loss: bool
    ids: tuple[int, ...] | None = None
    """The ids a policy sampled for it."""
    prompted: bool = True
    """Whether the text before it begins with what inference shows."""


@dataclass(frozen=True, slots=True)
class View:
    """One text to learn from."""

    text: str
    spans: tuple[Span, ...]
    """In order, replies with loss or sampled ids."""
    rules: tuple[str, ...] = ()
    """What was done to the messages so that the template takes them: see `Template.adapted`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is shown before it replies."""

    ids: tuple[int, ...]
    prefix_kept: bool | None
    """Whether it begins with all ids of the turn before, prompt and reply; None where no reply has ids."""
    broken_at: int | None = None
    """The first sampled reply that the template renders anew, as an index of messages."""


def prompt_of(messages: Sequence[Message], template: Template, tools: Tools = ()) -> Prompt:
    """The ids that open the next reply to a conversation.

    The prompt goes on from the ids of earlier replies, up to the first that the template renders anew.

    Raises:
        TemplateError: The template refuses the conversation.
    """
    turns = _Turns(messages, template, tools)
    text = template.render(turns.messages, tools, opened=True)
    sampled = [index for index, each in enumerate(turns.messages) if each.token_ids]
    spans: list[Span] = []
    broken = None
    for index in sampled:
        span = turns.find(index, text, loss=False)
        if span is None:
            broken = index
            break
        spans.append(span)
    ids, _ = encode(View(text, tuple(spans)), template)
    return Prompt(tuple(ids), broken is None if sampled else None, broken)


def views(messages: Sequence[Message], template: Template, tools: Tools = ()) -> list[View]:
    """The texts from which the replies with loss are learnt, each exactly once; an empty reply carries none.

    Raises:
        TemplateError: The template refuses the conversation, leaves something of it out, or hides a reply.
    """
    turns = _Turns(messages, template, tools)
    found: list[View] = []
    spans: list[Span] = []
    text = ""

    def finish() -> None:
        if spans:
            known = {each.message for each in spans}
            others = (i for i, each in enumerate(turns.messages) if each.token_ids and i not in known)
            context = [span for i in others if (span := turns.find(i, text, loss=False))]
            ordered = sorted([*spans, *context], key=lambda each: each.start)
            found.append(View(text, tuple(ordered), turns.rules))

    learnt = [i for i, each in enumerate(turns.messages) if each.loss and _says_something(each)]
    for index in reversed(learnt):
        span = turns.find(index, text) if spans else None
        if span is None:
            finish()
            text, span = turns.own(index)
            spans = []
            _check_shown(text, turns.messages[: index + 1], template, tools)
        spans.append(span)
    finish()
    return found[::-1]


def encode(view: View, template: Template) -> tuple[list[int], list[bool]]:
    """Ids of a text up to the end of its last reply with loss, and which of them carry loss.

    Without a reply with loss it is the whole text.

    Raises:
        TemplateError: A token belongs to a reply and to what stands beside it.
    """
    text, places = _isolated(view, template)
    encoded = template.tokens.encode(text)
    ids: list[int] = []
    mask: list[bool] = []
    cursor = 0
    for span, start, end in places:
        first, stop = _covered(encoded.offsets, start, end, cursor)
        if span.ids is None:
            a, b = encoded.offsets[first][0], encoded.offsets[stop - 1][1]
            if text[min(a, start) : start].strip() or text[end : max(b, end)].strip():
                raise TemplateError(
                    f"a token of the reply in message {span.message} also covers text beside it",
                    repr(text[a:b][:80]),
                    "give a template that sets replies apart",
                )
        own = list(span.ids) if span.ids is not None else encoded.ids[first:stop]
        ids += [*encoded.ids[cursor:first], *own]
        mask += [False] * (first - cursor) + [span.loss] * len(own)
        cursor = stop
    if any(span.loss for span, _, _ in places):
        return ids, mask
    rest = encoded.ids[cursor:]
    return ids + rest, mask + [False] * len(rest)


class _Turns:
    """A conversation as a template takes it, and its beginnings rendered."""

    def __init__(self, messages: Sequence[Message], template: Template, tools: Tools) -> None:
        self.template = template
        self.messages, self.rules = template.adapted(messages)

        @cache
        def render(count: int, opened: bool) -> str:
            return template.render(self.messages[:count], tools, opened=opened)

        self._render, self._tools = render, tools

    def own(self, index: int) -> tuple[str, Span]:
        """The text that ends with a reply, and where in it the reply is.

        Raises:
            TemplateError: The template does not show it.
        """
        message = self.messages[index]
        if message.token_ids:
            prompt = self._render(index, True)
            text = prompt + message.content + (self.template.end if self._ended(message) else "")
            return text, Span(index, len(prompt), len(text), message.loss, message.token_ids)
        text = self._render(index + 1, False)
        prompt = self._render(index, True) if index else "\0"  # nothing asks for a first message
        prompted = text.startswith(prompt)
        thought = _thought(message)
        if thought is None and not message.tool_calls:
            start, stop = self._answer(index, text, prompt)
        else:
            if thought is not None and prompt.rstrip().endswith("<think>") and not message.tool_calls:
                return self._as_generated(index, prompt)
            if thought is not None and not prompted:
                raise TemplateError(
                    f"the chat template opens message {index} otherwise than it shows its thoughts",
                    f"a reply should go on from {prompt[-40:]!r}",
                    "--set mix.template.variables='{enable_thinking=true}', where the template reads that",
                )
            start, stop = len(prompt) if prompted else self._opening(index, text), None
            self._check_said(index, text[start:])
        text, end = self._finished(index, text, stop)
        if message.cut:  # nothing says that it ended here
            end = len(text[:end].removesuffix(self.template.end)) if stop is None else stop
        return text, Span(index, start, end, message.loss, None, prompted)

    def find(self, index: int, text: str, *, loss: bool | None = None) -> Span | None:
        """A reply in a text that goes on after it; None where the text does not begin as the model saw it."""
        message = self.messages[index]
        carries = message.loss if loss is None else loss
        if not message.token_ids:
            mine, span = self.own(index)
            return span if text.startswith(mine[: span.end]) else None
        prompt = self._render(index, True)
        if not text.startswith(prompt):
            return None
        stop = _after(text, len(prompt), message.content)
        if stop is None:
            return None
        if not self._ended(message):
            return Span(index, len(prompt), stop, carries, message.token_ids)
        end = _after(text, stop, self.template.end)
        return None if end is None else Span(index, len(prompt), end, carries, message.token_ids)

    def _ended(self, message: Message) -> bool:
        """Whether a policy chose to end its reply, by what the template ends replies with."""
        end = self.template.tokens.encode(self.template.end).ids
        return list(message.token_ids or ())[-len(end) :] == end

    def _answer(self, index: int, text: str, prompt: str) -> tuple[int, int]:
        """Where the text of a reply is, without what ends it."""
        content = self.messages[index].content
        for shown in (content, content.strip()):
            stop = len(prompt) + len(shown)
            ended = self.template.ending(text[stop:]) or not text[stop:].strip()
            if text.startswith(prompt + shown) and ended:
                return len(prompt), stop
        before, after = self._around(index)
        start, stop = len(before), len(text) - len(after)
        if not (text.startswith(before) and text.endswith(after)) or start > stop:
            raise _hidden(index, text)
        if text[start:stop].strip() != content.strip():
            raise _hidden(index, text[start:stop])
        return start, stop

    def _opening(self, index: int, text: str) -> int:
        """Where a reply with calls begins that does not begin as the template opens one."""
        before, _ = self._around(index)
        if not text.startswith(before):
            raise _hidden(index, text)
        return len(before)

    def _around(self, index: int) -> tuple[str, str]:
        """What the template writes before and after the text of a reply that is the last message."""
        marked = replace(self.messages[index], content=_SENTINEL, reasoning=None)
        text = self.template.render([*self.messages[:index], marked], self._tools, opened=False)
        if text.count(_SENTINEL) != 1:
            raise _hidden(index, text)
        before, _, after = text.partition(_SENTINEL)
        return before, after

    def _check_said(self, index: int, part: str) -> None:
        """Refuse a reply whose thoughts or calls the template does not show."""
        message = self.messages[index]
        thought = _thought(message)
        unsaid = thought is not None and thought.strip() not in part
        if unsaid or any(str(call["function"]["name"]) not in part for call in message.tool_calls):
            raise TemplateError(
                f"the chat template does not show the {'thoughts' if unsaid else 'calls'} of message {index}",
                f"it shows {part[:80]!r}",
                "give a template for such records: --set mix.template.name=FILE.jinja",
            )

    def _finished(self, index: int, text: str, stop: int | None) -> tuple[str, int]:
        """A text in which something ends the reply, and the place after it.

        Args:
            index: The reply.
            text: What the template writes up to it.
            stop: Where its own text ends; None where that is wherever its end is.
        """
        template = self.template
        if stop is None:
            body = text.removesuffix(template.closing).rstrip()
            marked = template.tokens.ends_with_control(body) or _MARKED.search(body)
            if body.endswith(template.end) or (marked and not template.lends_end):
                return text, len(body)
            stop = len(body)
        ending = template.ending(text[stop:])
        if ending:
            end = _after(text, stop, ending)
            if end is None:
                raise _hidden(index, text[stop:])
            return text, end
        goes_on = self._render(index + 2, False) if index + 2 <= len(self.messages) else ""
        shown = text[:stop]
        opening = template.opening_after(goes_on[stop:]) if goes_on.startswith(shown) else template.end
        return shown + opening, len(shown) + len(opening)

    def _as_generated(self, index: int, prompt: str) -> tuple[str, Span]:
        """A reply with thoughts as a model writes it, where the template shows no thoughts of any turn."""
        message = self.messages[index]
        reply = message.content
        if message.reasoning is not None:
            reply = f"<think>\n{message.reasoning.strip()}\n</think>\n\n{message.content}"
        reply = reply.lstrip().removeprefix("<think>").lstrip("\n")
        text = prompt + reply + self.template.end
        return text, Span(index, len(prompt), len(text), message.loss)


def _isolated(view: View, template: Template) -> tuple[str, list[tuple[Span, int, int]]]:
    """The text with a control token for each sampled reply, so that no token reaches across its borders."""
    mark = template.tokens.isolator
    pieces: list[str] = []
    places: list[tuple[Span, int, int]] = []
    cursor = length = 0
    for span in view.spans:
        before = view.text[cursor : span.start]
        inside = view.text[span.start : span.end] if span.ids is None else mark
        start = length + len(before)
        places.append((span, start, start + len(inside)))
        pieces += [before, inside]
        cursor, length = span.end, start + len(inside)
    return "".join([*pieces, view.text[cursor:]]), places


def _covered(offsets: Sequence[tuple[int, int]], start: int, end: int, cursor: int) -> tuple[int, int]:
    """First id, from `cursor` on, that has a character in a range, and the one after the last that has."""
    first = cursor
    while first < len(offsets) and offsets[first][1] <= start:
        first += 1
    stop = first
    while stop < len(offsets) and offsets[stop][0] < end:
        stop += 1
    return first, stop


def _after(text: str, start: int, part: str) -> int | None:
    """The place after a part that follows a place, blanks apart; None where something else follows."""
    for wanted in (part, part.strip()):
        if text.startswith(wanted, start):
            return start + len(wanted)
    start += len(text[start:]) - len(text[start:].lstrip())
    return start + len(part.strip()) if text.startswith(part.strip(), start) else None


def _thought(message: Message) -> str | None:
    if message.reasoning is not None:
        return message.reasoning
    before, found, _ = message.content.partition("</think>")
    return before.partition("<think>")[2] or before if found else None


def _says_something(message: Message) -> bool:
    return bool(message.content.strip() or message.tool_calls or (message.reasoning or "").strip())


def _hidden(index: int, text: str) -> TemplateError:
    return TemplateError(
        f"the chat template does not show the reply in message {index} as it was written",
        f"it shows {text[-80:]!r}",
        "correct the record, or give another template: --set mix.template.name=NAME|FILE.jinja",
    )


def _check_shown(text: str, messages: Sequence[Message], template: Template, tools: Tools) -> None:
    lost = template.missing(text, messages, tools)
    if lost is not None:
        raise TemplateError(
            f"the chat template leaves out {lost}",
            "what a model is not shown it cannot learn to follow",
            "give a template for such records: --set mix.template.name=FILE.jinja",
        )
