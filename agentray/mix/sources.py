"""What a mixture is made of: conversations by source, from runs of trajectories and from files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agentray import manifest
from agentray.config import GeneralSource, MixConfig
from agentray.config.stages import Source
from agentray.data.records import messages
from agentray.data.store import read_run
from agentray.errors import DataError, UsageError
from agentray.formats.conversations import read_conversations
from agentray.types import Conversation, Rejection


@dataclass
class Contents:
    """What was read of one source."""

    conversations: list[Conversation] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    """Fields of records that nothing here knows, and in how many records they are."""

    @property
    def read(self) -> int:
        """Records."""
        return len(self.conversations) + len(self.rejected)


def read_sources(config: MixConfig, set_aside: list[str]) -> tuple[dict[str, Contents], dict[str, Contents]]:
    """Agent and general conversations by source name; files that cannot be read are added to `set_aside`.

    Raises:
        UsageError: A file does not exist, or two sources have one name.
        DataError: A source holds nothing that can be read, or is on both sides.
    """
    _check_names(config.general)
    agent: dict[str, Contents] = {}
    general: dict[str, Contents] = {}
    for side, found in ((config.agent, agent), (config.general, general)):
        for source in side:
            if source.path.is_dir():
                _add_run(source, found, set_aside)
            else:
                _add_file(source, found)
    _check_sides(agent, config.general)
    return agent, general


def _add_run(source: Source, found: dict[str, Contents], set_aside: list[str]) -> None:
    """Add the trajectories of a finished run, under the source's name or their environments'.

    Raises:
        UsageError: It is no finished run.
        DataError: None of its files can be read.
    """
    manifest.read(source.path)
    contents = read_run(source.path)
    lost = [f"{source.path}/{name}" for name in contents.set_aside]
    if lost and not contents.trajectories:
        raise DataError(
            f"{str(source.path)!r} holds no trajectory that can be read",
            "; ".join(lost),
            "run the stage that wrote it again, into another directory",
        )
    set_aside += lost
    for each in contents.trajectories:
        name = source.name or each.task.env
        found.setdefault(name, Contents()).conversations.append(
            Conversation(messages(each), place=f"{source.path.name}:{each.key}")
        )


def _add_file(source: Source, found: dict[str, Contents]) -> None:
    """Add the records of a file, under the source's name or the file's."""
    corpus = read_conversations(source.path)
    contents = found.setdefault(source.name or source.path.stem, Contents())
    contents.conversations += corpus.conversations
    contents.rejected += corpus.rejected
    contents.unknown.update(corpus.unknown)


def check_usable(
    side: str,
    share: float,
    sources: Mapping[str, Contents],
    usable: Mapping[str, Sequence[object]],
    limit: int,
) -> None:
    """Refuse a side of the mixture of which nothing is left, saying what became of it.

    Args:
        side: `agent` or `general`.
        share: How much of training is drawn from it.
        sources: What was read of it.
        usable: What is left, by source.
        limit: Most tokens of a sample.

    Raises:
        DataError: Something is to be drawn, and all that was read was rejected.
    """
    if not share or not sources or any(usable[name] for name in sources):
        return
    rejected = [each for contents in sources.values() for each in contents.rejected]
    reasons = Counter(each.reason for each in rejected)
    first = rejected[0] if rejected else None
    shown = f"; the first: {first.place}, {first.detail or first.reason}" if first else ""
    too_long = reasons.most_common(1)[0][0] == "too_long" if reasons else False
    raise DataError(
        f"none of the {sum(each.read for each in sources.values())} {side} conversations can be used",
        f"rejected: {dict(reasons)}{shown}",
        f"raise mix.max_length, now {limit}, as far as the model's context allows"
        if too_long
        else "correct the records, or give others",
    )


def _check_names(general: Sequence[GeneralSource]) -> None:
    twice = [name for name, count in Counter(source.name for source in general).items() if count > 1]
    if twice:
        raise UsageError(
            f"two general sources are called {twice[0]!r}",
            "loss and realised ratio are reported by name",
            f"name each: {_named(general)}",
        )


def _check_sides(agent: Iterable[str], general: Sequence[GeneralSource]) -> None:
    both = sorted(set(agent) & {source.name for source in general})
    if both:
        raise DataError(
            f"source {both[0]!r} is in the agent and in the general corpus",
            "the name decides on which side of η it counts",
            f"rename the general source: {_named(general)}",
        )


def _named(sources: Sequence[GeneralSource]) -> str:
    """The option that gives every source a name of its own."""
    tables = (
        f'{{path={json.dumps(str(source.path))}, name="{source.name}-{number}", weight={source.weight}}}'
        for number, source in enumerate(sources, 1)
    )
    return f"--set 'mix.general=[{', '.join(tables)}]'"
