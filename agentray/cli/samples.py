"""Shows training samples as the model sees them, with what carries loss marked.

agentray mix --agent runs/filter --general chats.jsonl --model smollm2-135m --show 2 --out runs/mix
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.console import Console
from rich.text import Text

from agentray.config import MixConfig

_MARKS = ("⟦", "⟧")
"""Around what carries loss, where there is no colour."""


def show_samples(config: MixConfig, count: int) -> None:
    """Print the first samples of each source on stderr: what carries loss is green, or stands in ⟦ ⟧.

    Args:
        config: Settings of a finished mix.
        count: Samples of each source.
    """
    if count < 1:
        return
    from agentray.chat.loading import load_template
    from agentray.mix.corpus import read_corpus

    tokens = load_template(config.model, config.template).tokens
    console = Console(stderr=True, highlight=False, markup=False)
    for name, rows in read_corpus(config.out).training.items():
        for number, sample in enumerate(rows[:count], 1):
            with_loss = int(sample.loss_mask.sum())
            console.rule(f"{name} {number}: {len(sample.input_ids)} tokens, {with_loss} with loss")
            shown = Text()
            for ids, learnt in _runs(sample.input_ids, sample.loss_mask):
                text = tokens.decode(ids)
                if learnt and not console.is_terminal:
                    text = text.join(_MARKS)
                shown.append(text, style="bold green" if learnt else "dim")
            console.print(shown, soft_wrap=True)


def _runs(ids: Iterable[int], mask: Iterable[bool]) -> Iterator[tuple[list[int], bool]]:
    """Neighbouring ids of one kind, and whether they carry loss."""
    for learnt, pairs in groupby(zip(ids, mask, strict=True), key=lambda pair: bool(pair[1])):
        yield [int(token) for token, _ in pairs], learnt
