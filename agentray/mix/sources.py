"""Where a mixture comes from: the conversations of its sources, one after another.

What can be known without reading a conversation is checked first: names, splits, families and selections.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentray import manifest
from agentray.config import MixConfig, Source
from agentray.data.reading import RunReader
from agentray.data.records import messages
from agentray.env.registry import ENVIRONMENTS
from agentray.errors import AgentrayError, DataError, UsageError, closest
from agentray.formats.conversations import iterate_conversations
from agentray.types import Conversation, Rejection

_HEAD = ["env", "policy", "split"]
_Head = tuple[str, str, str]
"""What decides whether a trajectory may be used: its environment, policy and split."""


@dataclass(frozen=True)
class Record:
    """One record of a source."""

    name: str
    """Under which it is counted."""
    content: Conversation | Rejection
    unknown: Sequence[str] = ()
    """Fields of it that nothing here knows."""


@dataclass(frozen=True)
class Inventory:
    """What a source holds, as far as that is known before its conversations are read."""

    source: Source
    names: tuple[str, ...]
    """Under which its conversations are counted."""
    reader: RunReader | None = None
    """Reads its trajectories; None for a file."""
    size: int = 0
    """Its trajectories; nobody has counted the records of a file."""
    unchecked: tuple[str, ...] = ()
    """Environments that are not installed: nobody knows whether they are held out."""


def take_stock(config: MixConfig) -> list[Inventory]:
    """What the sources hold, the agent side first.

    Raises:
        UsageError: A directory is not a finished run, has nothing that its source selects or what must not be
            trained on; or two sources have one name.
        DataError: A shard cannot be read, or a name is on both sides.
    """
    ordered = sorted(config.sources, key=lambda each: each.side != "agent")
    found = [_directory(each, config) if each.path.is_dir() else _file(each) for each in ordered]
    _check_names(found)
    return found


def read(inventory: Sequence[Inventory], set_aside: list[str]) -> Iterator[Record]:
    """The records of all sources, in order; files that cannot be read are added to `set_aside`.

    Raises:
        UsageError: A file does not exist.
        DataError: A source holds nothing that can be read.
    """
    for each in inventory:
        if each.reader is None:
            for content, unknown in iterate_conversations(each.source.path):
                yield Record(each.names[0], content, unknown)
        else:
            yield from _trajectories(each, each.reader, set_aside)


def _file(source: Source) -> Inventory:
    if not source.path.exists():
        raise UsageError(
            f"no file or directory {str(source.path)!r}",
            "it does not exist",
            "give a file of conversations, or the directory of a rollout or filter",
        )
    if source.env is not None or source.policy is not None:
        raise UsageError(
            f"{str(source.path)!r} is a file of conversations",
            "env and policy select trajectories, which are in directories",
            "give the directory of a rollout or filter, or the source without env and policy",
        )
    return Inventory(source, (source.name or source.path.stem,))


def _directory(source: Source, config: MixConfig) -> Inventory:
    manifest.read(source.path)
    reader = RunReader(source.path, _HEAD)
    if reader.set_aside and not len(reader):
        raise _unreadable(source, reader)
    # In one thread groups are in the order of their first rows, which is the order of names.
    found = reader.outcomes.group_by(_HEAD, use_threads=False).aggregate([([], "count_all")]).to_pylist()
    heads: dict[_Head, int] = {(row["env"], row["policy"], row["split"]): row["count_all"] for row in found}
    chosen = {head: count for head, count in heads.items() if _selects(source, env=head[0], policy=head[1])}
    if not chosen:
        raise _nothing(source, list(heads))
    envs = tuple(dict.fromkeys(env for env, _, _ in chosen))
    unchecked: list[str] = []
    if source.side == "agent":
        _check_splits(source, chosen, config)
        unchecked = _check_families(source, envs)
    names = (source.name,) if source.name else envs
    return Inventory(source, names, reader, sum(chosen.values()), tuple(unchecked))


def _selects(source: Source, *, env: str, policy: str) -> bool:
    return source.env in (None, env) and source.policy in (None, policy)


def _nothing(source: Source, heads: Sequence[_Head]) -> UsageError:
    what = f"{str(source.path)!r} holds no trajectory"
    if not heads:
        return UsageError(what, "its files are empty", "give another run")
    field = "policy" if source.env in (None, *(env for env, _, _ in heads)) else "env"
    known = sorted({policy if field == "policy" else env for env, policy, _ in heads})
    wanted = str(source.policy if field == "policy" else source.env)
    return UsageError(f"{what} of {field} {wanted!r}", closest(wanted, known), "correct its name")


def _unreadable(source: Source, reader: RunReader) -> DataError:
    return DataError(
        f"{str(source.path)!r} holds no trajectory that can be read",
        "; ".join(f"{source.path}/{name}" for name in reader.set_aside),
        "run the stage that wrote it again, into another directory",
    )


def _check_splits(source: Source, heads: Mapping[_Head, int], config: MixConfig) -> None:
    """Refuse agent data that is kept for evaluation."""
    denied: Counter[str] = Counter()
    for (_, _, split), count in heads.items():
        if split not in config.allow_splits:
            denied[split] += count
    if denied:
        allowed = json.dumps([*config.allow_splits, *denied])
        raise UsageError(
            f"{denied.total()} trajectories of {str(source.path)!r} are not for training",
            f"they are of split {', '.join(sorted(denied))}; allowed is {', '.join(config.allow_splits)}",
            f"give a run of split train, or allow it: --set 'mix.allow_splits={allowed}'",
        )


def _check_families(source: Source, envs: Sequence[str]) -> list[str]:
    """Refuse trajectories of held-out environments.

    Returns:
        Environments that are not installed, or cannot be imported: their family is not known.
    """
    unknown: list[str] = []
    for env in envs:
        try:
            family = ENVIRONMENTS.load(env).family
        except AgentrayError:
            family = None
        if family is None:
            unknown.append(env)
        elif family == "held_out":
            raise UsageError(
                f"{str(source.path)!r} holds trajectories of {env!r}, which is held out",
                "held-out environments measure what was not trained on",
                'give runs of other environments, or select one: env = "NAME" in mix.sources',
            )
    return unknown


def _trajectories(inventory: Inventory, reader: RunReader, set_aside: list[str]) -> Iterator[Record]:
    source, usable = inventory.source, 0
    for each in reader:
        usable += 1
        if _selects(source, env=each.task.env, policy=each.policy):
            place = f"{source.path.name}:{each.key}"
            yield Record(source.name or each.task.env, Conversation(messages(each), place=place))
    if not usable:
        raise _unreadable(source, reader)
    set_aside += [f"{source.path}/{name}" for name in reader.set_aside]


def _check_names(inventory: Sequence[Inventory]) -> None:
    """Refuse names that would not tell sources apart.

    Raises:
        UsageError: Two general sources have one name, or two on the agent side and one of them a weight.
        DataError: A name is on both sides.
    """
    owners: dict[str, list[Source]] = {}
    for each in inventory:
        for name in each.names:
            owners.setdefault(name, []).append(each.source)
    for name, sources in owners.items():
        sides = {each.side for each in sources}
        if len(sources) == 1 or (sides == {"agent"} and all(each.weight is None for each in sources)):
            continue
        if len(sides) > 1:
            raise DataError(
                f"source {name!r} is on the agent and on the general side",
                "the name decides on which side of η it counts",
                f"give each a name of its own: {_named(inventory)}",
            )
        raise UsageError(
            f"two {sources[0].side} sources are called {name!r}",
            "loss, weight and realised ratio go by name",
            f"give each a name of its own: {_named(inventory)}",
        )


def _named(inventory: Sequence[Inventory]) -> str:
    """The option that gives every source a name of its own."""
    tables = []
    for number, each in enumerate(inventory, 1):
        source = each.source
        shown = {"path": str(source.path), "name": f"{source.name or source.path.stem}-{number}"}
        shown |= source.model_dump(include={"side", "weight", "env", "policy"}, exclude_none=True)
        tables.append(", ".join(f"{key}={json.dumps(value)}" for key, value in shown.items()))
    return f"--set 'mix.sources=[{', '.join(f'{{{table}}}' for table in tables)}]'"
