"""The mix stage: tokenizes every conversation once and states in what proportion training draws from them.

    agentray mix --agent runs/filtered --general chats.jsonl --model smollm2-135m --out runs/mixed

Output: `corpus/` (token ids and loss masks), `mixture.json` (η, weights, seed), `rejected.jsonl` and the
manifest. Training, and every trial of a sweep over η, reads the same corpus. Conversations pass through one
by one: memory does not grow with their number.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from agentray import manifest
from agentray.chat import Template
from agentray.chat.loading import context_length, fingerprint, load_template
from agentray.config import MixConfig
from agentray.mix.corpus import MIXTURE, ROWS, VERSION, Corpus, open_corpus
from agentray.mix.rows import RowWriter
from agentray.mix.samples import Built, build
from agentray.mix.sources import Inventory, Record, read, take_stock
from agentray.mix.stream import shares
from agentray.mix.tally import Account, Tally, check_usable
from agentray.parallel import ordered_map
from agentray.stage import Stage
from agentray.types import Progress, Rejection, silent

_PREVIEW = 10_000
"""Samples drawn to report the ratios that a stream realises."""
_CHUNK = 32
"""Conversations that go to a process at a time."""
_ALONE = 16
"""Chunks that are tokenized before other processes are worth their start of several seconds."""
REJECTED = "rejected.jsonl"
"""File that names every conversation that is not used."""


@dataclass(frozen=True)
class MixSummary:
    """What was tokenized: per source `read == training + validation + sum(rejected)`, in conversations."""

    out: str
    eta: float
    read: Mapping[str, int]
    training: Mapping[str, int]
    validation: Mapping[str, int]
    rejected: Mapping[str, Mapping[str, int]]
    """Why conversations are not used; `rejected.jsonl` names each of them."""
    samples: Mapping[str, int]
    """Training samples: where the chat template rewrites history there is one per reply."""
    tokens: Mapping[str, int]
    """Training tokens by source."""
    loss_tokens: Mapping[str, int]
    """Those with loss."""
    realised: Mapping[str, float]
    """Share of each source in the first samples of the stream."""
    realised_tokens: Mapping[str, float]
    """Its share in the tokens with loss of these samples."""
    adapted: Mapping[str, int]
    """Conversations by what was done so that the chat template takes them: `system_folded` into the first
    user turn, `turns_merged`, `history_rewritten` (one sample per reply), `opening_differs` (the template
    writes a finished reply otherwise than it opens one, so that inference begins with something more)."""
    unknown_fields: Mapping[str, Mapping[str, int]]
    """Fields of records that were not used, with the number of records that have them, by source."""
    unchecked: Sequence[str] = ()
    """Environments that are not installed, so nobody knows whether they are held out."""
    set_aside: Sequence[str] = ()
    """Files that could not be read."""


def run(config: MixConfig, progress: Progress = silent) -> MixSummary:
    """Tokenize and mask every conversation, prove the masks, and write the corpus.

    Raises:
        UsageError: A file does not exist, two sources have one name, agent data is not for training, the
            proportions cannot be drawn, or `out` overlaps what is read or holds something else.
        DataError: A source holds nothing that can be read, or is on both sides; or nothing of a side is left.
        ResourceError: A process that tokenized was killed.
    """
    inputs = [source.path for source in config.sources]
    stage = Stage("mix", config, config.out, MixSummary, inputs=inputs)
    template = load_template(config.model, config.template)
    inventory = take_stock(config)
    _check_drawable(config, inventory)
    with _workspace(config.out) as workspace:
        tally = _tokenize(config, inventory, template, workspace, progress)
        document = _document(config, inventory, template, tally)
        manifest.write_json(workspace / MIXTURE, document)
        summary = _summarize(config, inventory, tally, open_corpus(workspace, document))
        stage.begin()
        for each in workspace.iterdir():
            each.rename(config.out / each.name)
    return stage.complete(summary)


def _check_drawable(config: MixConfig, inventory: Sequence[Inventory]) -> None:
    """Refuse proportions that no conversation would make possible.

    Raises:
        UsageError: A side that is drawn from has no source, or its weights sum to 0.
    """
    sides: dict[str, dict[str, tuple[int, float]]] = {"agent": {}, "general": {}}
    for each in inventory:
        weight = 1.0 if each.source.weight is None else each.source.weight
        sides[each.source.side] |= dict.fromkeys(each.names, (1, weight))
    shares(**sides, eta=config.eta)


@contextmanager
def _workspace(out: Path) -> Iterator[Path]:
    """A directory beside the output: what was there stays until the new corpus is complete."""
    place = out.resolve()
    directory = place.with_name(f".{place.name}.partial")
    shutil.rmtree(directory, ignore_errors=True)
    manifest.make_directory(directory / ROWS)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _tokenize(
    config: MixConfig,
    inventory: Sequence[Inventory],
    template: Template,
    directory: Path,
    progress: Progress,
) -> Tally:
    """Write the samples of every conversation, and why others give none.

    Raises:
        DataError: A source holds nothing that can be read, or nothing of a side is left.
    """
    limit = min(config.max_length, context_length(config.model) or config.max_length)
    names = dict.fromkeys(name for each in inventory for name in each.names)
    tally = Tally(
        {name: Account(RowWriter(directory / ROWS, f"{index:03d}")) for index, name in enumerate(names)}
    )
    total, done = sum(each.size for each in inventory), 0
    build_all = partial(_build_all, template=template, limit=limit)
    with (directory / REJECTED).open("w", encoding="utf-8") as rejected:
        records = _chunks(read(inventory, tally.set_aside))
        for name, unknown, outcome in chain.from_iterable(ordered_map(build_all, records, alone=_ALONE)):
            account = tally.accounts[name]
            account.take(outcome)
            account.unknown.update(unknown)
            if isinstance(outcome, Rejection):
                rejected.write(json.dumps({"source": name, **asdict(outcome)}) + "\n")
            else:
                tally.adapted.update(outcome.adapted)
            done += 1
            progress(done, max(total, done + 1), source=name)
    progress(done, done)
    for account in tally.accounts.values():
        account.writer.close()
    for side, share in (("agent", config.eta), ("general", 1 - config.eta)):
        own = [tally.accounts[name] for name in _names(inventory, side)]
        check_usable(side, share, own, limit)
        for account in own:
            account.hold_out(config.validation_fraction if side == "general" else 0.0, config.seed)
    return tally


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    while chunk := list(islice(records, _CHUNK)):
        yield chunk


def _build_all(
    chunk: Sequence[Record], *, template: Template, limit: int
) -> list[tuple[str, Sequence[str], Built | Rejection]]:
    """Name, unknown fields and outcome of each record; runs in any process."""
    return [
        (
            each.name,
            each.unknown,
            each.content
            if isinstance(each.content, Rejection)
            else build(each.content, template, max_length=limit),
        )
        for each in chunk
    ]


def _document(
    config: MixConfig, inventory: Sequence[Inventory], template: Template, tally: Tally
) -> dict[str, Any]:
    """What `mixture.json` says."""
    return {
        "version": VERSION,
        "eta": config.eta,
        "seed": config.seed,
        "tokenizer": fingerprint(template.tokenizer),
        "chat_template": template.chosen,
        "agent": list(_names(inventory, "agent")),
        "weights": _weights(inventory, tally),
        "sources": {
            name: {
                "files": account.writer.files,
                "prefix_length": account.prefix.length,
                "largest_id": account.largest_id,
                "validation": account.held_out.tolist(),
            }
            for name, account in tally.accounts.items()
        },
    }


def _names(inventory: Iterable[Inventory], side: str) -> dict[str, None]:
    """Names on a side, each once, in order."""
    return dict.fromkeys(name for each in inventory if each.source.side == side for name in each.names)


def _weights(inventory: Sequence[Inventory], tally: Tally) -> dict[str, float]:
    """Weight by name, for all but agent sources without one; a directory's is shared by its environments."""
    found: dict[str, float] = {}
    for each in inventory:
        weight = each.source.weight
        if each.source.side == "general":
            found[each.names[0]] = 1.0 if weight is None else weight
        elif weight is not None:
            sizes = {name: len(tally.accounts[name].tokens) for name in each.names}
            total = sum(sizes.values()) or 1
            found |= {name: weight * size / total for name, size in sizes.items()}
    return found


def _summarize(config: MixConfig, inventory: Sequence[Inventory], tally: Tally, corpus: Corpus) -> MixSummary:
    """Counts of records and conversations, and the ratios that the stream realises.

    Raises:
        UsageError: The proportions cannot be drawn.
    """
    accounts = tally.accounts
    tokens = {name: each.trained(each.tokens) for name, each in accounts.items()}
    losses = {name: each.trained(each.loss_tokens) for name, each in accounts.items()}
    stream = corpus.stream()
    drawn: Counter[str] = Counter()
    learnt: Counter[str] = Counter()
    for index in range(_PREVIEW):
        share, row = stream[index]
        name = stream.shares[share].name
        drawn[name] += 1
        learnt[name] += int(losses[name][row])
    held_out = {name: each.num_held_out for name, each in accounts.items()}
    return MixSummary(
        out=str(config.out),
        eta=config.eta,
        read={name: each.read for name, each in accounts.items()},
        training={name: len(each.samples) - held_out[name] for name, each in accounts.items()},
        validation={name: count for name, count in held_out.items() if count},
        rejected={name: dict(each.rejected) for name, each in accounts.items()},
        samples={name: len(each) for name, each in tokens.items()},
        tokens={name: int(each.sum()) for name, each in tokens.items()},
        loss_tokens={name: int(each.sum()) for name, each in losses.items()},
        realised={name: count / _PREVIEW for name, count in sorted(drawn.items())},
        realised_tokens={name: count / learnt.total() for name, count in sorted(learnt.items())},
        adapted=tally.adapted,
        unknown_fields={name: dict(each.unknown) for name, each in accounts.items() if each.unknown},
        unchecked=sorted({env for each in inventory for env in each.unchecked}),
        set_aside=tally.set_aside,
    )
