"""Training samples: a conversation's token ids and the proof that loss falls on the replies and nowhere else.

The ids are those of `agentray.chat`, and so those that a model engine acts on: replies that a policy sampled
keep the very ids it sampled, and each is learnt in the context in which inference shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agentray.chat import Template, TemplateError, View, views
from agentray.chat.turns import encode
from agentray.types import Conversation, Rejection

Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """One tokenized conversation, or the part of one that is learnt in one context."""

    input_ids: Ids
    """int32 (length,)"""
    loss_mask: Mask
    """bool (length,): True at tokens predicted with loss: replies and what ends them."""
    prefix_length: int = 0
    """Leading tokens without loss that belong to the instruction; other samples may share them."""


@dataclass(frozen=True)
class Built:
    """What came of a conversation."""

    samples: list[Sample]
    adapted: tuple[str, ...]
    """What was done so that the template takes it: see `agentray.mix.run.MixSummary`."""


def build(conversation: Conversation, template: Template, *, max_length: int) -> Built | Rejection:
    """The samples of a conversation, or the reason why there are none.

    One sample where history only grows; one per reply where the template rewrites it. Text after the last
    reply is excluded. The mask is proved: what carries loss decodes to the replies, each with what ends it.

    The reasons: `no_loss`; `too_long`; `refused_by_template`, with the template's own words or what it hides;
    `inexact_reply`, when sampled ids say more than the reply's text shows (a control token, or half of a
    character at the end); `unproved_mask`, when the tokenizer loses characters of a reply.

    Args:
        conversation: Messages; those with `loss` are trained on.
        template: Renders and tokenizes them.
        max_length: Most tokens of a sample.
    """

    def rejected(reason: str, detail: str = "") -> Rejection:
        return Rejection(conversation.place, reason, detail)

    try:
        found = views(conversation.messages, template, conversation.tools)
        encoded = [encode(view, template) for view in found]
    except TemplateError as error:
        return rejected(error.reason, f"{error.what}: {error.why}")
    if not found:
        return rejected("no_loss")
    longest = max(len(ids) for ids, _ in encoded)
    if longest > max_length:
        return rejected("too_long", f"{longest} tokens, max_length {max_length}")
    samples = [Sample(np.asarray(ids, np.int32), np.asarray(mask, np.bool_)) for ids, mask in encoded]
    for view, sample in zip(found, samples, strict=True):
        problem = flaw(sample, view, template)
        if problem is not None:
            return rejected(*problem)
    adapted = [*found[0].rules]
    adapted += ["history_rewritten"] * (len(found) > 1)
    adapted += ["opening_differs"] * any(not span.prompted for view in found for span in view.spans)
    return Built(samples, tuple(adapted))


def flaw(sample: Sample, view: View, template: Template) -> tuple[str, str] | None:
    """Why the ids with loss are not the replies of a view and nothing else; None where they are.

    Returns:
        A reason, and what exactly is wrong.
    """
    tokens = template.tokens
    for span in view.spans:
        if span.ids is not None and not _exact(span.ids, view.text[span.start : span.end], template):
            return "inexact_reply", f"the sampled ids decode to {tokens.decode(span.ids)[:80]!r}"
    learnt = [span for span in view.spans if span.loss]
    expected = "".join(
        view.text[span.start : span.end] if span.ids is None else tokens.decode(span.ids) for span in learnt
    )
    trained = sample.input_ids[sample.loss_mask].tolist()
    starts = np.count_nonzero(np.diff(sample.loss_mask.astype(np.int8), prepend=0) == 1)
    if starts == len(learnt) and tokens.says(trained, expected):
        return None
    return "unproved_mask", f"loss falls on {tokens.decode(trained)[:80]!r}"


def _exact(ids: Sequence[int], said: str, template: Template) -> bool:
    """Whether sampled ids say just the reply: no control token but at its end, and no half of a character."""
    tokens, body = template.tokens, list(ids)
    while body and tokens.is_control(body[-1]):
        body.pop()
    if any(map(tokens.is_control, body)):
        return False
    unended = said.removesuffix(template.end)
    return tokens.says(ids, said, blanks=False) or tokens.says(body, unended, blanks=False)
